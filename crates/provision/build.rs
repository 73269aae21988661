//! Compiles the protocol of Pulumi programs, with no protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/pulumi.proto");
    let files = protox::compile(["pulumi.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .compile_fds(files)?;
    Ok(())
}
