//! Each server: written and read through its own client, ended without warning, and started again.

mod etcd;
mod mariadb;
mod nats;
mod redis;
