//! What the kit promises of the real servers that it starts. They run two at a time: see `.config/nextest.toml`.

mod servers;
