use aqueduct_kit::process::within;
use aqueduct_kit::redis::{NODES, RedisCluster};
use aqueduct_kit::{Scratch, until};

/// The master of a key.
fn master_of(cluster: &RedisCluster, key: &str) -> usize {
    cluster.master_of(cluster.slot_of(key).unwrap()).unwrap()
}

#[test]
fn a_cluster_takes_writes_on_every_master_and_each_has_a_replica() {
    let scratch = Scratch::new("redis");
    let cluster = RedisCluster::start(&scratch).unwrap();
    let mut masters = Vec::new();
    // Their slots lie in each of the three ranges.
    for key in ["a", "b", "c"] {
        let master = master_of(&cluster, key);
        assert_eq!(cluster.cli(master, &["SET", key, "1"]).unwrap(), "OK");
        let other = (0..NODES).find(|node| *node != master).unwrap();
        let moved = cluster.cli(other, &["GET", key]).unwrap_err().to_string();
        let port = cluster.nodes[master].port().to_string();
        assert!(moved.contains("MOVED") && moved.contains(&port), "{moved}");
        assert_eq!(cluster.cli(other, &["-c", "GET", key]).unwrap(), "1");
        assert_eq!(cluster.cli(master, &["DBSIZE"]).unwrap(), "1");
        masters.push(master);
    }
    let mut nodes = masters.clone();
    for master in masters {
        cluster.wait_replicated(master, within(30)).unwrap();
        let replicas = cluster.replicas_of(master).unwrap();
        assert_eq!(replicas.len(), 1);
        assert_eq!(cluster.cli(replicas[0], &["DBSIZE"]).unwrap(), "1");
        nodes.extend(replicas);
    }
    nodes.sort_unstable();
    assert_eq!(nodes, (0..NODES).collect::<Vec<_>>());
}

#[test]
fn a_replica_takes_over_from_a_killed_master_which_comes_back_as_a_replica() {
    let scratch = Scratch::new("redis");
    let mut cluster = RedisCluster::start(&scratch).unwrap();
    let slot = cluster.slot_of("order").unwrap();
    let old = cluster.master_of(slot).unwrap();
    let replicas = cluster.replicas_of(old).unwrap();
    cluster.cli(old, &["SET", "order", "paid"]).unwrap();
    cluster.wait_replicated(old, within(30)).unwrap();

    cluster.nodes[old].kill9().unwrap();
    let new = cluster.wait_failover(slot, old, within(30)).unwrap();
    assert_eq!(replicas, [new]);
    cluster.wait_whole(within(30)).unwrap();
    assert_eq!(cluster.cli(new, &["GET", "order"]).unwrap(), "paid");
    assert_eq!(cluster.cli(new, &["SET", "order", "shipped"]).unwrap(), "OK");

    cluster.nodes[old].restart().unwrap();
    cluster.wait_replicated(new, within(30)).unwrap();
    cluster.wait_whole(within(30)).unwrap();
    assert_eq!(cluster.master_of(slot).unwrap(), new);
    assert_eq!(cluster.replicas_of(new).unwrap(), [old]);
    assert_eq!(cluster.cli(old, &["-c", "GET", "order"]).unwrap(), "shipped");
}

#[test]
fn a_paused_master_is_replaced() {
    let scratch = Scratch::new("redis");
    let mut cluster = RedisCluster::start(&scratch).unwrap();
    let old = cluster.master_of(0).unwrap();
    cluster.nodes[old].pause().unwrap();
    let new = cluster.wait_failover(0, old, within(30)).unwrap();
    cluster.nodes[old].resume().unwrap();
    cluster.wait_failover(0, old, within(30)).unwrap();
    cluster.wait_whole(within(30)).unwrap();
    assert_eq!(cluster.master_of(0).unwrap(), new);
}

#[test]
fn a_cluster_that_lost_a_master_and_its_replica_is_not_whole() {
    let scratch = Scratch::new("redis");
    let mut cluster = RedisCluster::start(&scratch).unwrap();
    let master = cluster.master_of(0).unwrap();
    let replica = cluster.replicas_of(master).unwrap()[0];
    cluster.nodes[replica].kill9().unwrap();
    cluster.nodes[master].kill9().unwrap();
    let failed =
        || cluster.wait_whole(within(0)).is_err_and(|error| error.to_string().contains("cluster_state:fail"));
    assert!(until(within(30), || failed().then_some(())).is_some());
    assert_ne!(cluster.wait_failover(0, master, within(0)).ok(), Some(replica));
}
