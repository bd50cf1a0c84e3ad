//! What the upstreams say of their health, asked in the background (`grpc.health.v1`) so that a probe never waits.
