//! The data layer's promises over real servers: the simulation's checker over histories that were recorded from a MariaDB, a Redis
//! Cluster, NATS and a real `aqueduct cdc`, while something goes wrong in the middle.
//!
//! Several instances (a cache, its tier, a follower and a heartbeat each) live in the test's process, with writers and readers that
//! note what they do on one monotonic clock. [`servers::run`] is one run. A real run sees less exactly than the simulation; what it notes
//! instead keeps the checker from false alarms, and lets it find what is really wrong:
//!
//! - **A change of a row** happens between what is noted before the statement is sent and what is noted when it is acknowledged. In
//!   between both the old and the new row are current. Each row has one writer at a time, so that its versions are known beforehand.
//! - **Reads** are noted exactly. To the age of a stale answer the time of the read is added, since the age was reckoned during it.
//! - **What a master of the second level did** is seen at the test's own instances, by their commands and the answers, between the two
//!   instants. What `cdc` writes is not seen: that it is there is what its `Applied` on the bus claims, which what is seen must not
//!   contradict, and what is looked up at the end. Leases of a table without versions are not seen, as `cdc` ends them; nothing that is one master's is noted while masters change.
//! - **What is published** is noted when a reader of its own has heard it, which is later than it was. So nothing is said of the
//!   checkpoint itself: one that is too far shows as a change that is lost when the capture is killed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod servers;
