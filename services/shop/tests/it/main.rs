//! The shop as its clients see it: over gRPC on the loopback, on the real store in a folder of its own.

#[cfg(test)]
mod bank;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod health;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod list;
#[cfg(test)]
mod participants;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod watch;
