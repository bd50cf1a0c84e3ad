//! What a TLS connection costs: a handshake, one GET and the end, again and again, with and without a session to resume.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aqueduct_kit::{Scratch, procfs};
use indicatif::ProgressBar;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::Args;
use super::fixture::GET_PATH;
use super::proxies::{Kind, Proxy};
use crate::clients::now;

/// The name in the certificate.
const NAME: &str = "bench.local";
/// Connections at the same time.
const THREADS: u64 = 8;

/// A certificate for a run, and its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file.
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// P-256, signed by itself.
    pub(crate) fn make(scratch: &Scratch) -> Result<Self> {
        let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=bench.local"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-addext", &format!("subjectAltName=DNS:{NAME}")]);
        let output =
            openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert).output().context("start openssl")?;
        ensure!(output.status.success(), "openssl failed: {}", String::from_utf8_lossy(&output.stderr));
        let both = scratch.write("both.pem", [std::fs::read(&cert)?, std::fs::read(&key)?].concat());
        Ok(Self { cert, key, both })
    }
}

/// One proxy's figures of one kind of handshake, an element a round.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) proxy: Kind,
    pub(crate) resumed: bool,
    pub(crate) cpu_us: Vec<f64>,
    /// Connections a second.
    pub(crate) rate: Vec<f64>,
    /// Connections that failed, or that were not resumed when they should have been.
    pub(crate) failures: u64,
}

/// Takes all proxies that have TLS. Round 0 warms up, and is not counted.
pub(super) fn take(
    args: &Args,
    proxies: &[Proxy],
    certificate: &Certificate,
    bar: &ProgressBar,
) -> Result<Vec<Figures>> {
    let mut all = Vec::new();
    let connections = args.requests.div_ceil(20).max(THREADS);
    for resumed in [false, true] {
        let configs = proxies.iter().map(|_| config(certificate, resumed)).collect::<Result<Vec<_>>>()?;
        let first = all.len();
        all.extend(proxies.iter().map(|proxy| Figures::new(proxy.kind, resumed)));
        for round in 0..=args.rounds {
            for ((proxy, config), figures) in proxies.iter().zip(&configs).zip(&mut all[first..]) {
                bar.set_message(format!("TLS, round {round}: {}", proxy.kind.name()));
                bar.inc(1);
                let Some(address) = proxy.tls else { continue };
                let count = if round == 0 { connections.div_ceil(10).max(THREADS * 8) } else { connections };
                let (cpu, begin) = (procfs::cpu_time(proxy.pid())?, now());
                let failures = load(address, config, (count, resumed));
                if round > 0 {
                    let used = procfs::cpu_time(proxy.pid())?.saturating_sub(cpu);
                    figures.rate.push(count as f64 * 1e9 / (now() - begin) as f64);
                    figures.cpu_us.push(used.as_secs_f64() * 1e6 / count as f64);
                    figures.failures += failures;
                }
            }
        }
    }
    Ok(all)
}

impl Figures {
    fn new(proxy: Kind, resumed: bool) -> Self {
        Self { proxy, resumed, cpu_us: Vec::new(), rate: Vec::new(), failures: 0 }
    }
}

fn config(certificate: &Certificate, resumed: bool) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate.cert).context("read the certificate")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if resumed { Resumption::in_memory_sessions(1024) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}

/// Makes `count` connections from several threads. Answers how many failed or were of the wrong kind.
fn load(address: SocketAddr, config: &Arc<ClientConfig>, (count, resumed): (u64, bool)) -> u64 {
    let expect = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let some = |thread: u64| {
        let own = count / THREADS + u64::from(thread < count % THREADS);
        (0..own).filter(|_| connect(address, config).ok() != Some(expect)).count() as u64
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || some(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(count)).sum()
    })
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<HandshakeKind> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(NAME)?)?;
    let mut stream = StreamOwned::new(connection, stream);
    write!(stream, "GET {GET_PATH} HTTP/1.1\r\nhost: {NAME}\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut room = [0; 4096];
    // Sessions to resume come before the answer. The order's last byte is a brace.
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut room)?;
        ensure!(count > 0, "the connection ended before the answer did");
        answer.extend_from_slice(&room[..count]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "not answered with 200");
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.conn.handshake_kind().context("end the handshake")
}
