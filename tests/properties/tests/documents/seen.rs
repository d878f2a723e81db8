//! What this program sees in a document, in the form in which the Go reader tells what it sees.

use recompress_image::image::{
    Descriptor, ImageConfig, Index, Manifest, Platform, document_type, json::Object,
    media_type as types,
};
use serde_json::{Map, Value, json};

use super::json::Kind;

/// A document that is accepted.
pub(crate) enum Accepted {
    Manifest(Box<Manifest>),
    Index(Box<Index>),
    Config(Box<ImageConfig>),
}

/// Reads a document as this program does; `Err` if it is refused.
pub(crate) fn accept(kind: Kind, bytes: &[u8]) -> Result<Accepted, String> {
    let is_index = match kind {
        Kind::Config => {
            let config = ImageConfig::parse(bytes).map_err(|error| error.to_string())?;
            return Ok(Accepted::Config(Box::new(config)));
        }
        Kind::Manifest | Kind::Index => {
            let media_type = document_type(bytes, None).map_err(|error| error.to_string())?;
            [types::OCI_INDEX, types::DOCKER_MANIFEST_LIST].contains(&&*media_type)
        }
    };
    if is_index != (kind == Kind::Index) {
        return Err("a document of the other kind".into());
    }
    if is_index {
        let index = Index::parse(bytes).map_err(|error| error.to_string())?;
        Ok(Accepted::Index(Box::new(index)))
    } else {
        let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
        Ok(Accepted::Manifest(Box::new(manifest)))
    }
}

impl Accepted {
    /// Compares with what Go sees.
    pub(crate) fn check(&self, bytes: &[u8], go: &Value) {
        assert_eq!(go.get("error"), None, "refused by Go");
        let object = Object::document(bytes, &[]).unwrap();
        assert_eq!(self.fields(&object), *go);
        match self {
            Self::Manifest(manifest) => {
                let go_kind = go["artifactType"].as_str().filter(|kind| !kind.is_empty());
                assert_eq!(manifest.kind(), go_kind.unwrap_or(&manifest.config.media_type));
                check_platform(&manifest.config, &go["config"]);
                let layers = manifest.layers.iter().zip(go["layers"].as_array().unwrap());
                layers.for_each(|(layer, go)| check_platform(layer, go));
            }
            Self::Index(index) => {
                let entries = index.entries().zip(go["manifests"].as_array().unwrap());
                entries.for_each(|(entry, go)| check_platform(entry, go));
            }
            Self::Config(config) => {
                assert_eq!(config.platform, platform_of(&go["platform"]));
                let object = config.platform_object().cloned().unwrap_or_default();
                assert_eq!(platform(&object), go["platform"]);
            }
        }
    }

    fn fields(&self, object: &Object) -> Value {
        match self {
            Self::Manifest(manifest) => {
                let mut seen = head(object);
                seen["config"] = descriptor(&manifest.config);
                seen["layers"] = manifest.layers.iter().map(descriptor).collect();
                seen["subject"] = manifest.subject.as_ref().map_or(Value::Null, descriptor);
                seen["annotations"] = json!(manifest.annotations);
                seen
            }
            Self::Index(index) => {
                let mut seen = head(object);
                seen["manifests"] = index.entries().map(descriptor).collect();
                let subject = object.object("subject", &[]).unwrap();
                seen["subject"] = subject.as_ref().map_or(Value::Null, content);
                seen["annotations"] = json!(index.annotations);
                seen
            }
            Self::Config(config) => config_fields(config, object),
        }
    }
}

fn text(object: &Object, name: &str) -> String {
    object.text(name).unwrap().unwrap_or_default()
}

fn texts(object: &Object, names: &[&str]) -> Value {
    let fields = names.iter().map(|name| ((*name).to_owned(), text(object, name).into()));
    fields.collect::<Map<_, _>>().into()
}

fn head(object: &Object) -> Value {
    let mut seen = texts(object, &["mediaType", "artifactType"]);
    seen["schemaVersion"] = object.integer("schemaVersion").unwrap().unwrap_or_default().into();
    seen
}

fn descriptor(descriptor: &Descriptor) -> Value {
    let mut seen = content(descriptor.object());
    seen["mediaType"] = descriptor.media_type.clone().into();
    seen["digest"] = descriptor.blob.digest.as_str().into();
    seen["size"] = descriptor.blob.size.into();
    seen["urls"] = json!(descriptor.urls);
    seen["annotations"] = json!(descriptor.annotations);
    seen["artifactType"] = descriptor.artifact_type.clone().unwrap_or_default().into();
    seen
}

fn content(object: &Object) -> Value {
    let mut seen = texts(object, &["mediaType", "digest", "artifactType"]);
    seen["size"] = object.integer("size").unwrap().into();
    seen["urls"] = json!(object.texts("urls").unwrap());
    seen["annotations"] = json!(object.map("annotations").unwrap().unwrap_or_default());
    seen["data"] = object.text("data").unwrap().into();
    let on = object.object("platform", &[]).unwrap();
    seen["platform"] = on.as_ref().map_or(Value::Null, platform);
    seen
}

fn platform(object: &Object) -> Value {
    let mut seen = texts(object, &["architecture", "os", "os.version", "variant"]);
    seen["os.features"] = json!(object.texts("os.features").unwrap());
    seen
}

/// What a platform that Go sees is for this program.
fn platform_of(go: &Value) -> Option<Platform> {
    let object = Object::document(go.to_string().as_bytes(), &[]).unwrap();
    Platform::read(&object).unwrap()
}

fn check_platform(descriptor: &Descriptor, go: &Value) {
    let go = go.get("platform").filter(|go| !go.is_null()).and_then(platform_of);
    assert_eq!(descriptor.platform(), go.filter(|go| !go.is_unknown()).as_ref());
}

/// Of a time Go tells the date and the hour.
fn moment(object: &Object) -> Value {
    object.text("created").unwrap().map(|time| time[..19].to_owned()).into()
}

fn config_fields(config: &ImageConfig, object: &Object) -> Value {
    let inner = |name| object.object(name, &[]).unwrap().unwrap_or_default();
    let (rootfs, run) = (inner("rootfs"), inner("config"));
    let names = |name| {
        let set = run.object(name, &[]).unwrap().unwrap_or_default();
        set.names().map(|name| (name.to_owned(), Value::Bool(true))).collect::<Map<_, _>>()
    };
    let mut execution = texts(&run, &["User", "WorkingDir", "StopSignal"]);
    for name in ["Env", "Entrypoint", "Cmd"] {
        execution[name] = json!(run.texts(name).unwrap());
    }
    for name in ["ExposedPorts", "Volumes"] {
        execution[name] = names(name).into();
    }
    execution["Labels"] = json!(config.labels);
    execution["ArgsEscaped"] = run.boolean("ArgsEscaped").unwrap().unwrap_or_default().into();
    let history = object.objects("history", &[]).unwrap().unwrap_or_default();
    let history = history.iter().map(|step| {
        let mut seen = texts(step, &["created_by", "author", "comment"]);
        seen["created"] = moment(step);
        seen["empty_layer"] = step.boolean("empty_layer").unwrap().unwrap_or_default().into();
        seen
    });
    json!({
        "created": moment(object),
        "author": text(object, "author"),
        "platform": platform(object),
        "rootfs": {"type": text(&rootfs, "type"), "diff_ids": config.diff_ids},
        "history": history.collect::<Value>(),
        "config": execution,
    })
}
