use super::entry::{Entry, Kind};
use super::{Cluster, State, addresses, down, new_servers, status, up};
use aqueduct_kit::Scratch;

#[test]
fn the_addresses_are_plain_yaml() {
    let servers = [
        Entry::new("mariadb-primary", Kind::Mariadb, 1),
        Entry::new("mariadb-replica", Kind::Mariadb, 2),
        Entry::new("redis-0", Kind::Redis { bus: 9 }, 3),
        Entry::new("redis-1", Kind::Redis { bus: 8 }, 4),
        Entry::new("nats", Kind::Nats, 5),
    ];
    let expect = "\
# Written by `cargo xtask cluster up`, which writes it anew each time.
data:
  dir: aqueduct-data
  mysql:
    user: root
    shards:
      - { database: shop_0, servers: [\"127.0.0.1:1\", \"127.0.0.1:2\"] }
      - { database: shop_1, servers: [\"127.0.0.1:1\", \"127.0.0.1:2\"] }
      - { database: shop_2, servers: [\"127.0.0.1:1\", \"127.0.0.1:2\"] }
      - { database: shop_3, servers: [\"127.0.0.1:1\", \"127.0.0.1:2\"] }
  redis: { nodes: [\"127.0.0.1:3\", \"127.0.0.1:4\"] }
  bus: { servers: [\"127.0.0.1:5\"] }
  cdc: { tables: [{ table: shop_*.orders_*, version: version }] }
";
    assert_eq!(addresses::yaml(&servers), expect);
}

#[test]
fn the_state_is_read_as_it_was_written() {
    let state = State { servers: new_servers() };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap().servers, state.servers);
    let mut ports: Vec<u16> = state.servers.iter().map(|server| server.port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 9);
}

#[test]
fn a_pid_of_somebody_else_is_left_alone() {
    let scratch = Scratch::new("cluster");
    let mut server = Entry::new("redis-0", Kind::Redis { bus: 2 }, 1);
    assert!(!server.runs(scratch.path()) && !server.terminate(scratch.path()).unwrap());
    // This test itself would end.
    server.pid = Some(std::process::id());
    assert!(!server.runs(scratch.path()) && !server.terminate(scratch.path()).unwrap());
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let scratch = Scratch::new("cluster");
    assert!(!status(scratch.path()).unwrap());
    down(scratch.path()).unwrap();
    assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_none(), "neither makes anything");
    scratch.write("note", "x");
    let error = up(scratch.path()).unwrap_err().to_string();
    assert!(error.contains("choose another folder"), "{error}");
    scratch.write("state.json", "nonsense");
    let error = up(scratch.path()).unwrap_err().to_string();
    assert!(error.contains("by hand"), "{error}");
}

#[test]
fn the_commands_that_are_shown_are_for_the_same_folder() {
    let usual = super::target().join("cluster");
    let check = |folder: &std::path::Path, expect: &str| assert_eq!(super::command("down", folder), expect);
    check(&usual, "cargo xtask cluster down");
    check("/tmp/other".as_ref(), "cargo xtask cluster down --folder /tmp/other");
    check("/tmp/it's mine".as_ref(), r"cargo xtask cluster down --folder '/tmp/it'\''s mine'");
}

/// Real servers: two tests of this name run at a time.
mod servers {
    use super::{Cluster, Scratch, down, status, up};
    use std::path::Path;
    use std::process::Command;

    /// Ends the servers also when the test fails.
    struct Ended<'a>(&'a Path);

    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            down(self.0).expect("end the servers");
        }
    }

    fn pids(folder: &Path) -> Vec<u32> {
        let cluster = Cluster::open(folder).unwrap().unwrap();
        cluster.state.servers.iter().map(|server| server.pid.unwrap()).collect()
    }

    #[test]
    fn up_starts_what_down_ends_and_the_data_stays() {
        let scratch = Scratch::new("cluster");
        let folder = scratch.join("cluster");
        let ended = Ended(&folder);
        up(&folder).unwrap();
        assert!(status(&folder).unwrap());
        let first = pids(&folder);
        assert_eq!(first.len(), 9);
        up(&folder).unwrap();
        assert_eq!(pids(&folder), first, "what runs is left alone");

        let yaml = std::fs::read_to_string(folder.join("cluster.yaml")).unwrap();
        let line = yaml.lines().find(|line| line.contains("database: shop_3")).unwrap();
        let port = line.split("127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let sql = |database: &str, statement: &str| {
            let mut client = Command::new("mariadb");
            client.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "-NB"]);
            let output = client.args(["--port", &port, "-e", statement, database]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        sql("shop_3", "CREATE TABLE kept (id INT PRIMARY KEY); INSERT INTO kept VALUES (7)");

        let killed = Command::new("kill").args(["-9", &first[2].to_string()]).status().unwrap();
        assert!(killed.success());
        let gone = || (!status(&folder).unwrap()).then_some(());
        assert!(aqueduct_kit::until(super::super::END_LIMIT, gone).is_some());
        up(&folder).unwrap();
        assert!(status(&folder).unwrap());
        assert_eq!(sql("shop_3", "SELECT id FROM kept"), "7\n");

        let last = pids(&folder);
        drop(ended);
        assert!(!status(&folder).unwrap());
        let alive = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok();
        assert!(!last.iter().any(alive), "all have ended");
    }
}
