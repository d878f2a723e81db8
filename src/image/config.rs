//! The config of an image (image-spec, config.md). It is never rewritten: its digest is the image
//! ID.

use super::{
    Digest, DocumentError,
    annotations::Annotations,
    json::{JsonError, Object},
    platform::{PLATFORM_FIELDS, Platform},
    rfc3339::is_go_time,
};

const FIELDS: [&str; 10] = [
    "created",
    "author",
    "architecture",
    "variant",
    "os",
    "os.version",
    "os.features",
    "config",
    "rootfs",
    "history",
];
const ROOTFS_FIELDS: [&str; 2] = ["type", "diff_ids"];
const HISTORY_FIELDS: [&str; 5] = ["created", "created_by", "author", "comment", "empty_layer"];
const EXECUTION_FIELDS: [&str; 10] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
];

/// What a config says that matters here.
#[derive(Debug, Clone)]
pub struct ImageConfig {
    /// What the image runs on, if it says.
    pub platform: Option<Platform>,
    /// The digests of the layers' tars, the lowest layer's first.
    pub diff_ids: Vec<Digest>,
    /// Of the containers that are made from the image.
    pub labels: Annotations,
    platform_object: Object,
}

impl ImageConfig {
    /// Reads a config. One that Go readers refuse is refused, because no client could use it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::read(bytes).map_err(|error| error.within("its config"))
    }

    fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let config = Object::document(bytes, &FIELDS)?;
        check_time(&config)?;
        config.text("author")?;
        check_history(&config)?;
        let labels = execution_labels(&config)?;
        let diff_ids = match config.object("rootfs", &ROOTFS_FIELDS)? {
            Some(rootfs) => {
                rootfs.text("type")?;
                rootfs.texts("diff_ids")?
            }
            None => Vec::new(),
        };
        let diff_ids = diff_ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
        let platform = Platform::read(&config)?;
        let mut platform_object = Object::default();
        for name in PLATFORM_FIELDS {
            if let Some(text) = config.raw(name).filter(|text| !matches!(*text, "\"\"" | "[]")) {
                platform_object.set_json(name, text);
            }
        }
        Ok(Self { platform, diff_ids, labels, platform_object })
    }

    /// The platform object for an entry of an index, if the config says anything that belongs there.
    pub fn platform_object(&self) -> Option<&Object> {
        Some(&self.platform_object).filter(|object| object.names().next().is_some())
    }
}

/// Go reads a time from the text of the field, in which an escape is not part of a time.
fn check_time(object: &Object) -> Result<(), JsonError> {
    let Some(text) = object.raw("created") else { return Ok(()) };
    let time = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    if time.is_some_and(is_go_time) {
        return Ok(());
    }
    Err(JsonError::Type { field: "created".into(), expected: "a time of RFC 3339" })
}

fn check_history(config: &Object) -> Result<(), JsonError> {
    for step in config.objects("history", &HISTORY_FIELDS)?.unwrap_or_default() {
        check_time(&step)?;
        for name in ["created_by", "author", "comment"] {
            step.text(name)?;
        }
        step.boolean("empty_layer")?;
    }
    Ok(())
}

fn execution_labels(config: &Object) -> Result<Annotations, JsonError> {
    let Some(execution) = config.object("config", &EXECUTION_FIELDS)? else {
        return Ok(Annotations::new());
    };
    for name in ["User", "WorkingDir", "StopSignal"] {
        execution.text(name)?;
    }
    for name in ["Env", "Entrypoint", "Cmd"] {
        execution.texts(name)?;
    }
    for name in ["ExposedPorts", "Volumes"] {
        for value in execution.object(name, &[])?.unwrap_or_default().values() {
            if value != "null" && !value.starts_with('{') {
                let (field, expected) = (name.to_owned(), "an object of objects");
                return Err(JsonError::Type { field, expected });
            }
        }
    }
    execution.boolean("ArgsEscaped")?;
    Ok(execution.map("Labels")?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_config_says() {
        let id = Digest::sha256_of(b"tar");
        let text = format!(
            r#"{{"os":"linux","architecture":"arm","variant":"","created":null,"x":[{{}}],
                "config":{{"Labels":{{"a":"b"}},"Volumes":{{"/data":{{}}}},"Env":null,"Image":""}},
                "history":[{{"created":"2024-01-02T03:04:05Z","empty_layer":true}}],
                "rootfs":{{"type":"layers","diff_ids":["{id}"]}}}}"#
        );
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.diff_ids, [id]);
        assert_eq!(config.platform, Some("linux/arm".parse().unwrap()));
        assert_eq!(config.labels["a"], "b");
        let object = config.platform_object().unwrap().to_json();
        assert_eq!(object, r#"{"architecture":"arm","os":"linux"}"#);
    }

    #[test]
    fn an_image_without_layers() {
        for text in [
            "{}",
            r#"{"rootfs":null}"#,
            r#"{"rootfs":{"type":"layers"}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":null}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":[]}}"#,
        ] {
            let config = ImageConfig::parse(text.as_bytes()).unwrap();
            assert!(config.diff_ids.is_empty() && config.platform_object().is_none(), "{text}");
        }
    }

    #[test]
    fn what_readers_refuse_or_read_differently() {
        for bad in [
            r#"{"rootfs":{"diff_ids":[null]}}"#,
            r#"{"rootfs":{"diff_ids":["sha256:x"]}}"#,
            r#"{"rootfs":{"diff_ids":[],"DIFF_IDS":[]}}"#,
            r#"{"rootfs":{"diff_ids":[]},"rootfs":{}}"#,
            r#"{"rootfs":{"diff_ids":[]},"rootfſ":{}}"#,
            r#"{"rootfs":[]}"#,
            r#"{"OS":"linux"}"#,
            r#"{"os":1}"#,
            r#"{"os.features":["a",1]}"#,
            r#"{"created":"yesterday"}"#,
            r#"{"created":""}"#,
            r#"{"created":"2024-01-02T03:04:05\u005a"}"#,
            r#"{"history":[1]}"#,
            r#"{"history":[{"empty_layer":"no"}]}"#,
            r#"{"config":{"Env":"A=B"}}"#,
            r#"{"config":{"env":[]}}"#,
            r#"{"config":{"Volumes":{"/x":1}}}"#,
            r#"{"config":{"Labels":{"a":1}}}"#,
            r#"{"config":{"Labels":{"a":"1","a":"2"}}}"#,
            "[]",
            "",
        ] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
