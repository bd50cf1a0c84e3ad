//! A private MariaDB: a primary that writes the row-based binlog that change capture reads, and replicas of it.
//!
//! ```no_run
//! use aqueduct_kit::{Scratch, mariadb::MariaDb, process::within};
//!
//! let scratch = Scratch::new("shop");
//! let mut primary = MariaDb::start(&scratch)?;
//! let replica = primary.replica(&scratch)?;
//! primary.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id BIGINT PRIMARY KEY)")?;
//! replica.wait_caught_up(&primary, within(30))?;
//! primary.kill9()?;
//! assert_eq!(replica.sql("SELECT COUNT(*) FROM shop.orders")?, "0");
//! primary.restart()?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::getuid;

use crate::certificates::Certificate;
use crate::process::within;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Place, Server, client_output, failure};
use crate::wait::until;

/// Small enough for a dozen servers on one machine. The template is made with the same, or every first start would
/// make the log again.
const SIZES: [&str; 2] = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"];

/// What change capture and replicas need of a server's binlog.
const BINLOG: [&str; 6] = [
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-strict-mode=1",
    "--log-slave-updates=1",
];

/// A running MariaDB server; how to end, pause and restart it stands at [`Server`]. Its user `root` has no password.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    /// Whether it takes encrypted connections only.
    tls: bool,
}

impl MariaDb {
    /// Starts an empty server in a folder of `scratch`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When MariaDB is not installed, or does not start, with its log.
    pub fn start(scratch: &Scratch) -> io::Result<Self> {
        Self::start_with(scratch, &[])
    }

    /// As [`MariaDb::start`], with further options of `mariadbd`, which stand last and so win: `--binlog-format=STATEMENT`.
    ///
    /// # Errors
    ///
    /// As [`MariaDb::start`].
    pub fn start_with(scratch: &Scratch, options: &[&str]) -> io::Result<Self> {
        let mut server = Self::spawn(Place::in_scratch(scratch, "mariadb"), options)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// As [`MariaDb::start_with`], for encrypted connections only. Clients that show a certificate of the same authority are known
    /// by it (`REQUIRE X509`).
    ///
    /// # Errors
    ///
    /// As [`MariaDb::start`].
    pub fn start_tls(scratch: &Scratch, certificate: &Certificate, options: &[&str]) -> io::Result<Self> {
        let [ca, cert, key] = certificate.paths();
        let tls = [format!("--ssl-ca={ca}"), format!("--ssl-cert={cert}"), format!("--ssl-key={key}")];
        let tls = tls.iter().map(String::as_str).chain(["--require-secure-transport=1"]);
        let options: Vec<&str> = tls.chain(options.iter().copied()).collect();
        let mut server = Self::spawn(Place::in_scratch(scratch, "mariadb"), &options)?;
        server.tls = true;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts a replica of this server in a folder of `scratch`, and waits until it replicates. It begins with the oldest
    /// binlog.
    ///
    /// # Errors
    ///
    /// As [`MariaDb::start`], or when it cannot follow the primary.
    pub fn replica(&self, scratch: &Scratch) -> io::Result<Self> {
        let replica = Self::start(scratch)?;
        replica.follow(self.port())?;
        Ok(replica)
    }

    /// Starts a server at `place`, where an earlier one may have left its data, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When MariaDB is not installed, or the folder cannot be written.
    pub fn spawn(place: Place, options: &[&str]) -> io::Result<Self> {
        let data = place.folder().join("data");
        if !data.is_dir() {
            let unfinished = place.folder().join("data.new");
            copy_folder(&template()?, &unfinished)?;
            fs::rename(unfinished, &data)?;
        }
        let mut args = vec!["--no-defaults".to_owned(), format!("--datadir={}", data.display())];
        args.extend(as_root());
        args.push(format!("--port={}", place.port()));
        // Relative to the data, since the path of a socket may have 107 bytes at most.
        args.extend(["--socket=mariadbd.sock", "--pid-file=mariadbd.pid"].map(str::to_owned));
        // A server that starts removes what it takes for leftovers in its folder for temporary tables: another's, in a shared one,
        // which crashes that other in the middle of a query.
        let temporary = place.folder().join("tmp");
        fs::create_dir_all(&temporary)?;
        args.push(format!("--tmpdir={}", temporary.display()));
        args.extend(["--bind-address=127.0.0.1", "--skip-name-resolve"].map(str::to_owned));
        // The port, as what sets it apart from every other server of the tests.
        args.push(format!("--server-id={}", place.port()));
        args.extend(BINLOG.iter().chain(&SIZES).chain(options).map(|&arg| arg.to_owned()));
        Ok(Self { server: Server::spawn("mariadbd", place, args)?, tls: false })
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    ///
    /// When it ends, or does not start, with its log.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        self.server.wait_ready()?;
        self.sql("SELECT 1").map(drop)
    }

    /// Makes it a replica of the server at `primary`, a port of 127.0.0.1, and waits until it replicates. It goes on from
    /// where it is.
    ///
    /// # Errors
    ///
    /// When it does not replicate after a minute, with what `SHOW SLAVE STATUS` says.
    pub fn follow(&self, primary: u16) -> io::Result<()> {
        self.sql(&format!(
            "STOP SLAVE; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary}, MASTER_USER='root', \
             MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE"
        ))?;
        self.wait_replicating(within(60))
    }

    /// Waits until both threads of the replication run.
    ///
    /// # Errors
    ///
    /// When they do not after `limit`, with what `SHOW SLAVE STATUS` says.
    pub fn wait_replicating(&self, limit: Duration) -> io::Result<()> {
        let both =
            || (self.sql("SHOW STATUS LIKE 'Slave_running'").ok()? == "Slave_running\tON").then_some(());
        if until(limit, both).is_some() {
            return Ok(());
        }
        let status = self.client(&[], "SHOW SLAVE STATUS\\G")?;
        Err(failure(format!("{:?} does not replicate:\n{status}", self.server)))
    }

    /// Waits until this replica has applied all that `primary` has committed.
    ///
    /// # Errors
    ///
    /// When it has not after `limit`.
    pub fn wait_caught_up(&self, primary: &Self, limit: Duration) -> io::Result<()> {
        let position = primary.gtid()?;
        let waited = self.sql(&format!("SELECT MASTER_GTID_WAIT('{position}', {})", limit.as_secs_f64()))?;
        if waited == "0" {
            return Ok(());
        }
        let at = self.sql("SELECT @@gtid_slave_pos")?;
        Err(failure(format!("{:?} is at {at:?}, not at {position:?}", self.server)))
    }

    /// The position at the end of its binlog: `0-12345-17`, empty when nothing was ever written.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn gtid(&self) -> io::Result<String> {
        self.sql("SELECT @@gtid_binlog_pos")
    }

    /// Runs statements with the `mariadb` client, and answers the rows of their results: columns divided by tabs, without
    /// a header. The first that fails is the last.
    ///
    /// # Errors
    ///
    /// With the client's message: `ERROR 1064 (42000) at line 1: …`.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        self.client(&["--skip-column-names"], statements)
    }

    fn client(&self, options: &[&str], statements: &str) -> io::Result<String> {
        // A file, and not an argument, which would be limited to 128 KiB.
        let mut input: File = tempfile::tempfile()?;
        input.write_all(statements.as_bytes())?;
        input.rewind()?;
        let mut client = Command::new(program::find("mariadb")?);
        client.args(["--no-defaults", "--batch", "--protocol=tcp", "--host=127.0.0.1", "--user=root"]);
        client.arg(format!("--port={}", self.port())).args(self.tls.then_some("--ssl")).args(options);
        client_output(client.stdin(Stdio::from(input)))
    }

    /// `mysql://root@127.0.0.1:PORT/DATABASE`; an empty name stands for none.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@{}/{database}", self.address())
    }

    /// The number that its events carry and that replicas and readers of its binlog must not use.
    pub fn server_id(&self) -> u32 {
        self.port().into()
    }

    /// Lets it run on when this process has ended. Its place must be a detached one.
    pub fn detach(self) {
        self.server.detach();
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for MariaDb {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// A folder with the data of a server that was never started. Made once for an installed release, since that takes
/// seconds and copying it does not.
fn template() -> io::Result<PathBuf> {
    let mariadbd = fs::metadata(program::find("mariadbd")?)?;
    let installed = mariadbd.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let tools = program::target().join("tools");
    fs::create_dir_all(&tools)?;
    let folder = tools.join(format!("mariadb-data-{:x}-{:x}", mariadbd.len(), installed.as_secs()));
    let lock = File::create(tools.join("mariadb-data.lock"))?;
    lock.lock()?;
    if !folder.is_dir() {
        let unfinished = tools.join("mariadb-data.new");
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished)?;
        }
        let mut install = Command::new(program::find("mariadb-install-db")?);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", unfinished.display()));
        client_output(install.args(SIZES).args(as_root()).stdin(Stdio::null()))?;
        fs::rename(unfinished, &folder)?;
    }
    Ok(folder)
}

/// MariaDB refuses to run as root unless told that it is meant.
fn as_root() -> Option<String> {
    getuid().is_root().then(|| "--user=root".to_owned())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
