//! Each server: written and read through its own client, ended without warning, and started again.

mod mariadb;
mod nats;
mod redis;
