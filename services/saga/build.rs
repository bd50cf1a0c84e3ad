//! Compiles `proto/` with protox, so that a user's machine needs no `protoc`: Rust code, and a descriptor set for reflection.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTO: &str = "../../proto";
const FILE: &str = "aqueduct/saga/v1/saga.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}/{FILE}");
    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler.open_files([FILE])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.pb"), compiler.encode_file_descriptor_set())?;
    let code = compiler.file_descriptor_set();
    // Without the transport helper the clients need no feature that a server does not have.
    tonic_prost_build::configure().build_transport(false).bytes(".").compile_fds(code)?;
    Ok(())
}
