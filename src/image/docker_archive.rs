//! The `manifest.json` of an archive of `docker save` (moby, `image/tarexport`), and the manifest that
//! an image in it would have in a layout.

use serde_json::json;

use super::{
    BlobId, DocumentError, RegistryReference,
    json::Object,
    media_type::{Family, ImpossibleLayer, LayerType, Suffix},
    reference::ArchivedImage,
};

const FIELDS: [&str; 5] = ["Config", "RepoTags", "Layers", "Parent", "LayerSources"];

/// An image in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedItem {
    /// The path of its config.
    pub config: String,
    /// As they stand there, perhaps malformed.
    pub names: Vec<String>,
    /// The paths of its layers, the lowest first.
    pub layers: Vec<String>,
}

impl ArchivedItem {
    /// Reads the whole list.
    pub fn parse_list(bytes: &[u8]) -> Result<Vec<Self>, DocumentError> {
        let item = |object: Object| {
            let config = object.filled_text("Config")?;
            Ok(Self {
                config: config.ok_or_else(|| DocumentError::malformed("an image has no config"))?,
                names: object.texts("RepoTags")?,
                layers: object.texts("Layers")?,
            })
        };
        Object::documents(bytes, &FIELDS)?.into_iter().map(item).collect()
    }

    /// Whether one of its names is this one.
    pub fn has_name(&self, wanted: &RegistryReference) -> bool {
        self.names.iter().any(|name| ArchivedImage::named(name).is_ok_and(|name| name == *wanted))
    }
}

/// An OCI manifest of an image for which there is none. The same config and layers have the same one
/// each time, so it can be named by its digest.
pub fn manifest(config: &BlobId, layers: &[(Suffix, BlobId)]) -> Result<Vec<u8>, ImpossibleLayer> {
    let family = Family::Oci;
    let layer = |(suffix, blob): &(Suffix, BlobId)| {
        let media_type = family.layer(LayerType { distributable: true, suffix: *suffix })?;
        Ok(json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size}))
    };
    let layers = layers.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": family.manifest(),
        "config": {
            "mediaType": family.config(),
            "digest": config.digest,
            "size": config.size,
        },
        "layers": layers,
    });
    Ok(manifest.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::image::{Digest, Manifest};

    #[test]
    fn a_list_of_docker_save() {
        let text = r#"[{"Config":"abc.json","RepoTags":["app:1.2","quay.io/org/app:2"],"Layers":["a/layer.tar","b/layer.tar"]},
            {"Config":"c","RepoTags":null,"Layers":null,"Other":1}]"#;
        let items = ArchivedItem::parse_list(text.as_bytes()).unwrap();
        assert_eq!(items[0].layers, ["a/layer.tar", "b/layer.tar"]);
        assert_eq!(items[1], ArchivedItem { config: "c".into(), names: vec![], layers: vec![] });
        for (name, is_it) in [
            ("app:1.2", true),
            ("docker.io/library/app:1.2", true),
            ("quay.io/org/app:2", true),
            ("app", false),
            ("app:2", false),
        ] {
            let name = ArchivedImage::named(name).unwrap();
            assert_eq!(items[0].has_name(&name), is_it, "{name}");
        }
    }

    #[test]
    fn what_readers_refuse_or_read_differently() {
        for bad in [
            "",
            "{}",
            "[1]",
            "[{}]",
            r#"[{"Config":""}]"#,
            r#"[{"Config":"a","config":"b"}]"#,
            r#"[{"Config":"a","Config":"b"}]"#,
            r#"[{"Config":"a","Layers":"b"}]"#,
            r#"[{"Config":"a","RepoTags":[1]}]"#,
            r#"[{"Config":"a"}],"x":[]"#,
        ] {
            assert!(ArchivedItem::parse_list(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// Later versions must name the same source by the same digest.
    #[test]
    fn the_manifest_never_changes() {
        let blob =
            |text: &[u8]| BlobId { digest: Digest::sha256_of(text), size: text.len() as u64 };
        let suffixes = [Suffix::None, Suffix::Gzip, Suffix::Zstd];
        let layers = suffixes.map(|suffix| (suffix, blob(suffix.as_str().as_bytes())));
        let bytes = manifest(&blob(b"config"), &layers).unwrap();
        let digest = "sha256:922a0c29c245b73cebfc263731e547967cd53637ab4a70e6e68627c1e1d9f7c3";
        assert_eq!(Digest::sha256_of(&bytes).as_str(), digest);
        let read = Manifest::parse(&bytes).unwrap();
        assert_eq!(read.image_layers().unwrap().len(), 3);
        assert!(read.has_image_config());
    }
}
