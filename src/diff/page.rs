//! The report of `diff` as an HTML page.

use super::report::{
    Clients, DiffReport, DiffSide, FileCount, FileState, GzipOrigin, ImageDiff, LayerDiff,
    LayerState,
};
use crate::report::{
    html::{
        Bar, Bars, Column, Content, Figure, Map, Node, Page, Section, Table, Tone, Value, Weight,
    },
    human::{count, counted, percent, size},
};

/// Rows of the table of files.
const LISTED: usize = 200;

impl DiffReport {
    pub(crate) fn page(&self) -> Page {
        let named =
            |DiffSide { reference, digest, .. }: &DiffSide| format!("{reference} ({digest})");
        let mut facts = vec![("Old", named(&self.old)), ("New", named(&self.new))];
        if let [ImageDiff { platform: Some(platform), .. }] = self.images.as_slice() {
            facts.push(("Platform", platform.clone()));
        }
        let mut sections = match self.images.as_slice() {
            [image] => image.sections(),
            images => vec![
                section("Fetched for each platform", Content::Bars(bars(images))),
                section("Platforms", Content::Table(platforms(images))),
            ],
        };
        let mut notes = Vec::new();
        for ImageDiff { platform, notes: of_image, .. } in &self.images {
            let platform = platform.as_ref().filter(|_| self.images.len() > 1);
            let before = platform.map(|platform| format!("{platform}: ")).unwrap_or_default();
            notes.extend(of_image.iter().map(|note| format!("{before}{note}")));
        }
        notes.extend(
            self.skipped
                .iter()
                .map(|skipped| format!("not compared: {}: {}", skipped.platform, skipped.reason)),
        );
        if !notes.is_empty() {
            sections.push(section("Notes", Content::Notes(notes)));
        }
        Page { title: format!("Update to {}", self.new.reference), facts, sections }
    }
}

impl ImageDiff {
    fn sections(&self) -> Vec<Section> {
        let mut sections = vec![
            Section { heading: None, content: Content::Figures(self.figures()) },
            section("Fetched and reused", Content::Bars(self.bars())),
            section("What a partial pull fetches", Content::Map(self.map())),
            section("Parts of a partial pull", Content::Table(self.part_table())),
            section("Layers", Content::Table(self.layer_table())),
        ];
        if !self.largest.is_empty() {
            sections.push(section("New and changed files", Content::Table(self.file_table())));
        }
        sections.push(section("Files of changed layers", Content::Table(self.counts())));
        sections
    }

    /// All that a client with nothing fetches.
    fn whole(&self) -> u64 {
        self.new.size.saturating_add(self.clients.files.documents)
    }

    fn figures(&self) -> Vec<Figure> {
        let Clients { files, chunks, layers, gzip } = &self.clients;
        let share = |bytes| format!("{} of NEW", percent(bytes, self.whole()));
        let mut figures = vec![
            Figure { label: "Partial pull", value: size(files.total), detail: share(files.total) },
            Figure {
                label: "On XFS or btrfs",
                value: size(chunks.total),
                detail: share(chunks.total),
            },
            Figure {
                label: "No partial pulls",
                value: size(layers.total),
                detail: share(layers.total),
            },
        ];
        figures.extend(gzip.as_ref().map(|gzip| Figure {
            label: "As gzip",
            value: size(gzip.total),
            detail: share(gzip.total),
        }));
        figures
    }

    fn bars(&self) -> Bars {
        let Clients { files, chunks, layers, gzip } = &self.clients;
        let whole = self.whole();
        let row = |label: &str, fetched, detail| bar(label.to_owned(), fetched, whole, detail);
        let ranges = |number| counted(number, "range");
        let mut rows = vec![
            row("Partial pull, any file system", files.total, ranges(files.range_count)),
            row("Partial pull, XFS or btrfs", chunks.total, ranges(chunks.range_count)),
            row("Changed layers, no partial pulls", layers.total, String::new()),
        ];
        rows.extend(gzip.as_ref().map(|gzip| {
            let origin = match gzip.origin {
                GzipOrigin::Given => "NEW itself",
                GzipOrigin::Index => "in the same index",
                GzipOrigin::Source => "NEW was made from it",
            };
            Bar {
                label: "Changed layers as gzip".to_owned(),
                // How much of it clients have is not known.
                parts: vec![(Tone::Strong, gzip.total)],
                value: size(gzip.total),
                detail: format!("sizes of {:.19}… ({origin})", gzip.digest.to_string()),
            }
        }));
        rows.push(row("NEW as a whole", whole, counted(self.new.layers, "layer")));
        Bars { rows, legend: vec![(Tone::Strong, "fetched"), (Tone::Rest, "reused")] }
    }

    /// Everything that a partial pull on any file system fetches.
    fn map(&self) -> Map {
        let weight = |path: &str, count: FileCount, tone| Weight {
            path: path.to_owned(),
            bytes: count.fetched,
            tone,
        };
        let directories = self.directories.iter().flat_map(|directory| {
            [
                weight(&directory.path, directory.files.new, Tone::Strong),
                weight(&directory.path, directory.files.changed, Tone::Plain),
                weight(&directory.path, directory.files.same, Tone::Rest),
            ]
        });
        let files = self.largest.iter().map(|file| Weight {
            path: file.name.clone(),
            bytes: file.fetched,
            tone: tone(file.state),
        });
        let files = Node::tree("files", directories, files);
        let fetched = &self.clients.files;
        let rest = |name: &str, bytes| Node {
            name: name.to_owned(),
            bytes,
            tone: Tone::Rest,
            children: Vec::new(),
        };
        let whole = self.layers.iter().filter(|layer| layer.state == LayerState::Whole);
        let mut parts: Vec<_> = whole
            .map(|layer| rest(&format!("layer {}, as a whole", layer.number), layer.fetched))
            .collect();
        parts.push(rest("gaps between files", fetched.ranges.saturating_sub(files.bytes)));
        parts.push(rest("TOCs and tar-splits", fetched.metadata));
        parts.push(rest("manifest, config, index", fetched.documents));
        match files.name.as_str() {
            "files" => parts.extend(files.children),
            // A chain of directories.
            _ => parts.push(files),
        }
        parts.retain(|part| part.bytes > 0);
        let caption = "Compressed bytes by directory, for clients on any file system. Directories \
                       have the color of most of their bytes.";
        let legend = vec![
            (Tone::Strong, "new files"),
            (Tone::Plain, "changed files"),
            (Tone::Rest, "everything else"),
        ];
        Map { root: Node::of("fetched", parts), caption: caption.to_owned(), legend }
    }

    fn part_table(&self) -> Table {
        let Clients { files, chunks, .. } = &self.clients;
        let row = |name: &str, any, reflinks| {
            vec![Value::Text(name.to_owned()), Value::Bytes(any), Value::Bytes(reflinks)]
        };
        Table {
            caption: "Parts of a partial pull",
            columns: vec![
                Column::Text("Part"),
                Column::Number("Any file system"),
                Column::Number("XFS or btrfs"),
            ],
            rows: vec![
                row("Content of files", files.ranges, chunks.ranges),
                row("Layers as a whole", files.whole_layers, chunks.whole_layers),
                row("TOCs and tar-splits", files.metadata, chunks.metadata),
                row("Manifest, config, index", files.documents, chunks.documents),
                row("Total", files.total, chunks.total),
                row("Besides: multipart headers", files.overhead, chunks.overhead),
            ],
            rest: None,
        }
    }

    fn layer_table(&self) -> Table {
        let reasons = self.layers.iter().any(|layer| layer.reason.is_some());
        let rows = self.layers.iter().map(|layer| {
            let LayerDiff { number, digest, state, reason, metadata, .. } = layer;
            let state = match state {
                LayerState::Same => "same",
                LayerState::Partial => "partial",
                LayerState::Whole => "whole",
            };
            let mut row = vec![
                Value::Count(*number),
                Value::Digest(digest.to_string()),
                Value::Text(state.to_owned()),
                Value::Bytes(layer.fetched),
                Value::Bytes(layer.fetched_with_chunks),
                Value::Bytes(layer.size),
                Value::Bytes(*metadata),
            ];
            row.extend(reasons.then(|| Value::Text(reason.clone().unwrap_or_default())));
            row
        });
        let mut columns = vec![
            Column::Number("Layer"),
            Column::Text("Digest"),
            Column::Text("Pull"),
            Column::Number("Fetched"),
            Column::Number("XFS or btrfs"),
            Column::Number("Size"),
            Column::Number("TOC and tar-split"),
        ];
        columns.extend(reasons.then_some(Column::Text("Reason")));
        Table { caption: "Layers", columns, rows: rows.collect(), rest: None }
    }

    fn file_table(&self) -> Table {
        let rows = self.largest.iter().take(LISTED).map(|file| {
            let state = match file.state {
                FileState::Changed => "changed",
                FileState::New => "new",
            };
            vec![
                Value::Name(file.name.clone()),
                Value::Bytes(file.fetched),
                Value::Bytes(file.fetched_with_chunks),
                Value::Bytes(file.size),
                Value::Text(state.to_owned()),
                Value::Count(file.layer),
            ]
        });
        let (changed, new) = (&self.files.changed, &self.files.new);
        let listed = self.largest.iter().take(LISTED);
        let listed = listed.fold(0, |sum: u64, file| sum.saturating_add(file.fetched));
        let more = (changed.files.saturating_add(new.files)).saturating_sub(rows.len() as u64);
        let fetched = changed.fetched.saturating_add(new.fetched).saturating_sub(listed);
        Table {
            caption: "New and changed files",
            columns: vec![
                Column::Text("File"),
                Column::Number("Fetched"),
                Column::Number("XFS or btrfs"),
                Column::Number("Size"),
                Column::Text("State"),
                Column::Number("Layer"),
            ],
            rows: rows.collect(),
            rest: (more > 0).then(|| {
                format!("{} more files, of which {} are fetched", count(more), size(fetched))
            }),
        }
    }

    fn counts(&self) -> Table {
        let row = |name: &str, files: FileCount| {
            vec![
                Value::Text(name.to_owned()),
                Value::Count(files.files),
                Value::Bytes(files.size),
                Value::Bytes(files.compressed),
                Value::Bytes(files.fetched),
                Value::Bytes(files.fetched_with_chunks),
            ]
        };
        Table {
            caption: "Files of changed layers",
            columns: vec![
                Column::Text("State"),
                Column::Number("Files"),
                Column::Number("Uncompressed"),
                Column::Number("Compressed"),
                Column::Number("Fetched"),
                Column::Number("XFS or btrfs"),
            ],
            rows: vec![
                row("same", self.files.same),
                row("changed", self.files.changed),
                row("new", self.files.new),
            ],
            rest: None,
        }
    }
}

fn tone(state: FileState) -> Tone {
    match state {
        FileState::Changed => Tone::Plain,
        FileState::New => Tone::Strong,
    }
}

fn platform(image: &ImageDiff) -> String {
    image.platform.clone().unwrap_or_else(|| "no platform".to_owned())
}

fn bar(label: String, fetched: u64, whole: u64, detail: String) -> Bar {
    let parts = vec![(Tone::Strong, fetched), (Tone::Rest, whole.saturating_sub(fetched))];
    Bar { label, parts, value: size(fetched), detail }
}

fn bars(images: &[ImageDiff]) -> Bars {
    let rows = images.iter().map(|image| {
        let (fetched, whole) = (image.clients.files.total, image.whole());
        let detail = format!("{} of {}", percent(fetched, whole), size(whole));
        bar(platform(image), fetched, whole, detail)
    });
    let legend = vec![(Tone::Strong, "fetched by a partial pull"), (Tone::Rest, "reused")];
    Bars { rows: rows.collect(), legend }
}

fn platforms(images: &[ImageDiff]) -> Table {
    let rows = images.iter().map(|image| {
        let Clients { files, chunks, layers, gzip } = &image.clients;
        vec![
            Value::Text(platform(image)),
            Value::Bytes(image.whole()),
            gzip.as_ref().map_or(Value::None, |gzip| Value::Bytes(gzip.total)),
            Value::Bytes(layers.total),
            Value::Bytes(files.total),
            Value::Bytes(chunks.total),
        ]
    });
    Table {
        caption: "Platforms",
        columns: vec![
            Column::Text("Platform"),
            Column::Number("As a whole"),
            Column::Number("As gzip"),
            Column::Number("No partial pulls"),
            Column::Number("Partial pull"),
            Column::Number("XFS or btrfs"),
        ],
        rows: rows.collect(),
        rest: Some("Use --platform to see the layers and files of one.".to_owned()),
    }
}

fn section(heading: &str, content: Content) -> Section {
    Section { heading: Some(heading.to_owned()), content }
}
