#![allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::print_stdout)]
use recompress_image::layer::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let level: i32 = a.get(4).map_or(3, |l| l.parse().unwrap());
    let wf: usize = a.get(5).map_or(0, |l| l.parse().unwrap());
    let jobs: usize = a.get(6).map_or(2, |l| l.parse().unwrap());
    let f = std::fs::File::open(&a[1]).unwrap();
    let out = std::fs::File::create(&a[2]).unwrap();
    let recipe = Recipe { chunked: a[3] == "c", level, metadata_level: 9, whole_file_max: wf };
    let t = std::time::Instant::now();
    let pool = Pool::new(jobs).unwrap();
    let r = convert(f, out, None, recipe, &pool, &Progress::default());
    println!("{:?} {:#?}", t.elapsed(), r);
}
