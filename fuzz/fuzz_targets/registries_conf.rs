//! registries.conf: it is read or refused, and an image that it leads elsewhere keeps its tag and
//! digest.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use recompress_image::{image::RegistryReference, store::RegistriesConf};

fuzz_target!(|input: (&str, &str)| {
    let (text, image) = input;
    let mut conf = RegistriesConf::default();
    if let Err(error) = conf.add(Path::new("fuzz.conf"), text) {
        return assert!(error.to_string().starts_with("fuzz.conf, line "), "{error}");
    }
    let Ok(image) = image.parse::<RegistryReference>() else { return };
    let target = conf.push_target(&image);
    assert_eq!(target.reference, image);
    let Ok(sources) = conf.pull_sources(&image) else { return };
    for endpoint in sources.mirrors.iter().chain([&sources.origin]) {
        assert_eq!(endpoint.reference.digest(), image.digest());
        assert_eq!(endpoint.reference.tag(), image.tag());
        let _ = endpoint.check_allowed();
    }
});
