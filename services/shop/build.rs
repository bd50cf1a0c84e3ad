//! Compiles `proto/` with protox, so that a user's machine needs no `protoc`: Rust code for the shop and gRPC health
//! services, and one descriptor set that reflection serves and the gateway transcodes by.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTO: &str = "../../proto";
const FILES: [&str; 5] = [
    "shop/v1/orders.proto",
    "shop/v1/accounts.proto",
    "shop/v1/transfers.proto",
    "shop/v1/ledger.proto",
    "grpc/health/v1/health.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler.include_imports(true).open_files(FILES)?;

    // From the compiler and not from the decoded set below: prost drops the options it does not know, and
    // `google.api.http` is one of them.
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.pb"), compiler.encode_file_descriptor_set())?;

    let mut code = compiler.file_descriptor_set();
    code.file.retain(|file| !file.name().starts_with("google/api/"));
    // Without the transport helper the clients need no feature that a server does not have.
    tonic_prost_build::configure().build_transport(false).compile_fds(code)?;
    Ok(())
}
