//! Decompresses a gzip file on one thread, as `convert` does and nothing else: the least time that
//! a layer takes, however many cores there are. Used by `hack/bench`.

use std::{
    env,
    fs::File,
    io::{self, BufReader, Read as _},
};

use flate2::bufread::MultiGzDecoder;

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: gunzip FILE"))?;
    let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(256 << 10, File::open(path)?));
    let mut piece = vec![0; 512 << 10];
    while decoder.read(&mut piece)? > 0 {}
    Ok(())
}
