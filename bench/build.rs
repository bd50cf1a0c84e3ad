//! Compiles the message of `bench transcode`: its descriptors, and for the comparison with pbjson the Rust types.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTO: &str = "proto";
const GOOGLE: &str = "../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    println!("cargo::rerun-if-changed={GOOGLE}/google");
    let mut compiler = protox::Compiler::new([PROTO, GOOGLE])?;
    compiler.include_imports(true).open_file("bench.proto")?;
    // From the compiler and not from the decoded set: prost drops the options it does not know, and
    // `google.api.http` is one of them.
    let descriptors = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("bench.binpb"), &descriptors)?;

    let mut types = compiler.file_descriptor_set();
    types.file.retain(|file| !file.name().starts_with("google/"));
    // Without the first, prost's own types stand for Google's, which have no JSON.
    let mut prost = prost_build::Config::new();
    prost.compile_well_known_types().extern_path(".google.protobuf", "::pbjson_types").compile_fds(types)?;
    pbjson_build::Builder::new().register_descriptors(&descriptors)?.build(&[".bench.v1"])?;
    Ok(())
}
