//! The data layer against real servers: only tests, since a crate that can be taken alone has no dependency on the kit.
