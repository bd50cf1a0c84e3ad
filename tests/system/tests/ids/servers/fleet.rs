//! Nodes as processes of their own, what they minted, and what must be true of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aqueduct_ids::{Id, Layout};
use aqueduct_kit::process::within;
use aqueduct_kit::{Process, Scratch, until};

use super::{Store, lines};

pub(super) struct Node {
    folder: PathBuf,
    args: [String; 2],
    pub(super) process: Process,
}

/// The two numbers that all want, or else any.
const ANY: &str = "0,1,any";

/// A claim of a process.
type Claim = (String, u64);

/// One ID, with when it was asked for and had, in ns of the machine's monotonic clock.
pub(super) struct Minted {
    worker: u16,
    claim: Claim,
    id: u64,
    before: u128,
    after: u128,
}

impl Node {
    pub(super) fn start(scratch: &Scratch, store: &Store, name: &str) -> Self {
        let folder = scratch.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let args = store.args();
        let process = spawn(&folder, &args, ANY);
        Self { folder, args, process }
    }

    /// kill -9, and again from the beginning.
    pub(super) fn replace(&mut self) {
        self.replace_by(ANY);
    }

    /// Likewise, but it wants these numbers.
    pub(super) fn replace_by(&mut self, wanted: &str) {
        self.process.kill().unwrap();
        self.process = spawn(&self.folder, &self.args, wanted);
    }

    /// Sets its wall clock, `ms` off from the right time.
    pub(super) fn set_clock(&self, ms: i64) {
        let file = self.folder.join("offset");
        fs::write(file.with_extension("new"), ms.to_string()).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// Waits until it has taken a number, and answers the last that it took.
    pub(super) fn number(&self) -> u16 {
        self.process.wait_line("claimed ", within(60)).unwrap();
        let printed = self.process.printed();
        let mut numbers = printed.lines().filter_map(|line| line.strip_prefix("claimed "));
        numbers.next_back().and_then(|number| number.parse().ok()).unwrap()
    }

    /// Waits until it has minted something whose time satisfies `wanted`, in ms off from now.
    pub(super) fn wait_minted(&self, wanted: impl Fn(i64) -> bool) {
        let file = self.folder.join(format!("minted-{}", self.process.pid()));
        let seen = until(within(60), || {
            let now = aqueduct_runtime::clock::now_unix_ms().cast_signed();
            let last = lines(&file).last()?.split(' ').nth(2)?.parse().ok()?;
            wanted(unix_ms(last) - now).then_some(())
        });
        assert!(seen.is_some(), "{}", self.process.printed());
    }

    /// How many IDs this process has minted.
    pub(super) fn count(&self) -> usize {
        lines(&self.folder.join(format!("minted-{}", self.process.pid()))).len()
    }

    /// Waits until it has minted more than it has now.
    pub(super) fn wait_more(&self) {
        let before = self.count();
        let more = until(within(60), || (self.count() > before + 100).then_some(()));
        assert!(more.is_some(), "{}", self.process.printed());
    }

    pub(super) fn minted(&self) -> Vec<Minted> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if path.file_name().unwrap().to_str().unwrap().starts_with("minted-") {
                all.extend(lines(&path).iter().map(|line| Minted::read(&name, line)));
            }
        }
        all
    }
}

fn spawn(folder: &Path, args: &[String], wanted: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ids-node"));
    command.args(args).arg(folder).arg(wanted);
    Process::start("node", &mut command).unwrap()
}

fn unix_ms(id: u64) -> i64 {
    let parts = Layout::DEFAULT.decode(Id::new(id).unwrap());
    (aqueduct_ids::DEFAULT_EPOCH_MS + parts.time_ms).cast_signed()
}

impl Minted {
    fn read(file: &str, line: &str) -> Self {
        let mut words = line.split(' ').map(|word| word.parse::<u128>().unwrap());
        let mut next = || words.next().unwrap();
        Self {
            worker: u16::try_from(next()).unwrap(),
            claim: (file.to_owned(), u64::try_from(next()).unwrap()),
            id: u64::try_from(next()).unwrap(),
            before: next(),
            after: next(),
        }
    }
}

/// No ID twice, and none under a number that was another node's by then.
pub(super) fn check(minted: &[Minted]) {
    let mut seen: HashMap<u64, &Claim> = HashMap::new();
    for it in minted {
        let other = seen.insert(it.id, &it.claim);
        assert!(other.is_none(), "{} was minted by {:?} and by {other:?}", it.id, it.claim);
        assert_eq!(Layout::DEFAULT.decode(Id::new(it.id).unwrap()).worker, it.worker);
    }
    let mut spans: BTreeMap<u16, BTreeMap<&Claim, (u128, u128)>> = BTreeMap::new();
    for it in minted {
        let span = spans.entry(it.worker).or_default().entry(&it.claim).or_insert((it.after, it.before));
        *span = (span.0.min(it.after), span.1.max(it.before));
    }
    for (worker, claims) in &spans {
        let mut claims: Vec<_> = claims.iter().map(|(claim, (first, last))| (first, last, claim)).collect();
        claims.sort();
        for pair in claims.windows(2) {
            let ((_, last, one), (first, _, other)) = (pair[0], pair[1]);
            assert!(
                last < first,
                "worker {worker} was {one:?}'s until {last}, and {other:?}'s from {first} on"
            );
        }
    }
}
