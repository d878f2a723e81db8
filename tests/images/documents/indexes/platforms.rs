//! How platforms are spelled, and which variant of one is taken.

use serde_json::json;

use super::{
    super::{
        build::{Documents, MARK, marked, with},
        row::{Row, index},
    },
    ADD, ALL, DUAL, arch, before_a, changed, other_content, platforms,
};

pub(super) fn spellings() -> Vec<Row> {
    vec![
        index("x86_64", |docs| platforms(docs, &[arch("x86_64", "")])).podman_refuses(),
        index("upper case", |docs| platforms(docs, &[arch("AMD64", "")])).podman_refuses(),
        index("amd64/v1", |docs| platforms(docs, &[arch("amd64", "v1")])).podman_refuses(),
        index("amd64/v1 before amd64", |docs| {
            platforms(docs, &[arch("amd64", "v1"), arch("amd64", "")]);
        })
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("amd64/v3 before amd64", |docs| {
            platforms(docs, &[arch("amd64", "v3"), arch("amd64", "")]);
        })
        .podman_takes("b")
        .converts("b"),
        index("arm64/v8", |docs| platforms(docs, &[arch("arm64", "v8")]))
            .of("linux/arm64", &["--platform=linux/arm64"]),
        index("aarch64 before arm64", |docs| {
            platforms(docs, &[arch("aarch64", ""), arch("arm64", "")]);
        })
        .of("linux/arm64", &["--platform=linux/arm64"])
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("arm64/v8 before arm64", |docs| {
            platforms(docs, &[arch("arm64", "v8"), arch("arm64", "")]);
        })
        .of("linux/arm64", DUAL)
        .podman_takes("b")
        .converts("b"),
        index("three of arm", |docs| {
            platforms(docs, &[arch("arm", "v5"), arch("arm", "v6"), arch("arm", "v7")]);
        })
        .of("linux/arm", &["--platform=linux/arm"])
        .podman_takes("c")
        .converts("c"),
        index("three of arm, dual", |docs| {
            platforms(docs, &[arch("arm", "v5"), arch("arm", "v6"), arch("arm", "v7")]);
        })
        .of("linux/arm/v6", DUAL)
        .podman_takes("b")
        .converts("b"),
        index("arm/v7 before arm", |docs| {
            platforms(docs, &[arch("arm", "v7"), arch("arm", "")]);
        })
        .of("linux/arm", &["--platform=linux/arm"]),
        index("arm/v8 beside arm/v7", |docs| {
            platforms(docs, &[arch("arm", "v7"), arch("arm", "v8")]);
        })
        .of("linux/arm", &["--platform=linux/arm"]),
        index("versions of Windows", |docs| {
            let windows = |version: &str| {
                json!({"os": "windows", "architecture": "amd64", "os.version": version})
            };
            platforms(docs, &[windows("10.0.17763.1"), windows("10.0.20348.1")]);
        })
        .of("windows/amd64", DUAL),
        index("a version on Linux", |docs| {
            let mut one = arch("amd64", "");
            one["os.version"] = "6.1".into();
            platforms(docs, &[one, arch("amd64", "")]);
        }),
    ]
}

pub(super) fn variants() -> Vec<Row> {
    fn beside_zstd(docs: &mut Documents, mark: bool) {
        let a = docs.image("a");
        let zstd = docs.zstd(&a);
        let (a, mut zstd) = (docs.entry(&a), docs.entry(&zstd));
        if mark {
            zstd = marked(zstd);
        }
        docs.index(&[a, zstd]);
    }
    vec![
        index("zstd of other content", other_content)
            .podman_takes("b")
            .fails(5, "clients disagree"),
        index("zstd of other content, dual", other_content)
            .arguments(DUAL)
            .podman_takes("b")
            .fails(5, "clients disagree"),
        index("zstd of other content, added", other_content)
            .arguments(ADD)
            .podman_takes("b")
            .fails(5, "clients disagree"),
        index("zstd of other content, all platforms", other_content)
            .arguments(ALL)
            .podman_takes("b")
            .fails(5, "clients disagree"),
        index("unmarked zstd of other content behind", |docs| {
            let (a, b) = (docs.image("a"), docs.image("b"));
            let b = docs.zstd(&b);
            let entries = [docs.entry(&a), docs.entry(&b)];
            docs.index(&entries);
        })
        .arguments(ADD),
        index("marked zstd of the same content", |docs| beside_zstd(docs, true)).arguments(DUAL),
        index("unmarked zstd of the same content", |docs| beside_zstd(docs, false)).arguments(ADD),
        index("a marked gzip image", |docs| {
            let a = docs.image("a");
            let a = marked(docs.entry(&a));
            docs.index(&[a]);
        })
        .arguments(DUAL)
        .verify(8),
        index("a marked gzip image of other content", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                vec![marked(docs.entry(&b))]
            });
        })
        .podman_takes("b")
        .converts("b")
        .verify(8),
        index("marked, with another content in front", |docs| {
            let (a, b) = (docs.image("a"), docs.image("b"));
            let entries = [docs.entry(&b), marked(docs.entry(&a))];
            docs.index(&entries);
        })
        .arguments(DUAL)
        .fails(5, "clients disagree")
        .verify(8),
        index("two of one platform", |docs| {
            let (a, b) = (docs.image("a"), docs.image("b"));
            let entries = [docs.entry(&a), docs.entry(&b)];
            docs.index(&entries);
        })
        .arguments(DUAL),
        index("annotations of other snapshotters in an entry", |docs| {
            changed(docs, |entries| {
                entries[0]["annotations"] =
                    json!({"com.amazon.soci.index-digest": "x", "kept": "kept"});
            });
        })
        .arguments(ALL)
        .without(&["soci"]),
        index("zstd:chunked of which the mark is missing", |docs| {
            let a = docs.image("a");
            let chunked = docs.converted(&a);
            let entries =
                [docs.entry(&a), with(docs.entry(&chunked), "annotations", json!({MARK: "no"}))];
            docs.index(&entries);
        })
        .arguments(DUAL),
    ]
}
