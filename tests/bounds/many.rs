//! Documents that name the same things very often.

use recompress_image::image::media_type::{OCI_INDEX, OCI_LAYER_ZSTD, OCI_MANIFEST};
use serde_json::{Value, json};
use test_support::{layout::Layout, sha256, work_dir};

use crate::{hostile::long_names, measured::run};

/// An image with the same layer again and again.
fn repeated(layout: &mut Layout, layer: &Value, count: usize) {
    layout.manifest["layers"] = vec![layer.clone(); count].into();
    layout.config["rootfs"]["diff_ids"] = vec![sha256(b""); count].into();
    layout.finish();
}

#[test]
fn an_index_that_names_a_large_image_for_many_platforms() {
    let dir = work_dir();
    let mut layout = Layout::new(dir.path(), &[(OCI_LAYER_ZSTD, vec![0; 9])], &[Vec::new()]);
    let layer = layout.manifest["layers"][0].clone();
    repeated(&mut layout, &layer, 10_000);
    let mut image = layout.add(layout.manifest.to_string().as_bytes());
    image["mediaType"] = OCI_MANIFEST.into();
    let entry = |number: usize| {
        let mut entry = image.clone();
        entry["platform"] = json!({"os": "linux", "architecture": format!("x{number}")});
        entry
    };
    let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    for (platforms, code) in [(2, 0), (900, 4)] {
        index["manifests"] = (0..platforms).map(entry).collect::<Vec<_>>().into();
        let name = format!("oci:{}:in", dir.path().display());
        layout.manifest = index.clone();
        layout.finish();
        let compared = run(&["diff", &name, &name]);
        compared.ends(&format!("an index with {platforms} large images"), code);
    }
}

#[test]
fn an_image_with_many_layers_with_long_names() {
    let dir = work_dir();
    let mut layout = Layout::new(dir.path(), &[], &[]);
    let blob = long_names();
    let mut layer = layout.add(&blob.bytes);
    (layer["mediaType"], layer["annotations"]) = (OCI_LAYER_ZSTD.into(), blob.annotations);
    repeated(&mut layout, &layer, 300);
    let inspected = run(&["inspect", &layout.reference()]);
    let report = inspected.ends(blob.name, 0).report();
    assert_eq!(report["layers"][299]["files"], 200);
}
