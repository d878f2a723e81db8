//! The report of `diff` as an HTML page.

use super::report::{
    Clients, DiffReport, DiffSide, FileCount, FileState, GzipUpdate, ImageDiff, LayerDiff,
    LayerState, ONLY_NEW, ONLY_OLD, Outlook, SkippedPlatform,
};
use crate::report::{
    html::{Bar, Bars, Column, Content, Map, Node, Page, Section, Table, Tone, Value, Weight},
    human::{count, counted, percent, size},
};

/// Rows of the table of files.
const LISTED: usize = 200;

impl DiffReport {
    pub(crate) fn page(&self) -> Page {
        let named = |DiffSide { reference, digest, .. }: &DiffSide| {
            let mut named = vec![reference.clone()];
            named.extend((!reference.ends_with(digest.as_str())).then(|| digest.to_string()));
            named
        };
        let mut facts = vec![("Old", named(&self.old)), ("New", named(&self.new))];
        if let [ImageDiff { platform: Some(platform), .. }] = self.images.as_slice() {
            facts.push(("Platform", vec![platform.clone()]));
        }
        let mut sections = match self.images.as_slice() {
            [image] => image.sections(),
            images => vec![
                section("Fetched for each platform", Content::Bars(bars(images))),
                section("Platforms", Content::Table(platforms(images))),
            ],
        };
        let mut notes = Vec::new();
        let several = self.images.len() > 1;
        for image in &self.images {
            let before = if several { format!("{}: ", platform(image)) } else { String::new() };
            let brief = image.brief().filter(|_| several).map(str::to_owned);
            let of_image = image.notes.iter().cloned().chain(brief);
            notes.extend(of_image.map(|note| format!("{before}{note}")));
        }
        notes.extend(self.skipped.iter().map(|SkippedPlatform { platform, reason }| {
            let is_short = [ONLY_OLD, ONLY_NEW].contains(&reason.as_str());
            let not = if is_short { "" } else { "not compared: " };
            format!("{platform}: {not}{reason}")
        }));
        if !notes.is_empty() {
            sections.push(section("Notes", Content::Notes(notes)));
        }
        let title = format!("Update to {}", self.new.reference);
        Page { title, lead: self.lead(), facts, sections }
    }
}

impl ImageDiff {
    fn sections(&self) -> Vec<Section> {
        let layers = || section("Layers", Content::Table(self.layer_table()));
        match self.outlook() {
            Outlook::Same => return Vec::new(),
            Outlook::Whole if self.layers.is_empty() => return Vec::new(),
            Outlook::Whole => return vec![layers()],
            Outlook::FirstPull | Outlook::Update => {}
        }
        let mut sections = vec![section("Fetched and reused", Content::Bars(self.bars()))];
        let map = self.map();
        if map.has_parts() {
            sections.push(section("What a partial pull fetches", Content::Map(map)));
        }
        sections.push(section("Parts of a partial pull", Content::Table(self.part_table())));
        sections.push(layers());
        if !self.largest.is_empty() {
            let fetched = self.files.changed.files.saturating_add(self.files.new.files);
            let what = match self.outlook() {
                Outlook::FirstPull => "Largest files",
                _ => "New and changed files",
            };
            let heading = format!("{what} ({})", count(fetched));
            sections.push(section(&heading, Content::Table(self.file_table())));
        }
        if !self.counted().is_empty() {
            sections.push(section("Files of changed layers", Content::Table(self.counts())));
        }
        sections
    }

    fn bars(&self) -> Bars {
        let Clients { files, chunks, layers, gzip } = &self.clients;
        let whole = self.whole();
        let share = |bytes| format!("{} of NEW", percent(bytes, whole));
        let row = |label: &str, fetched, detail: String| {
            let detail = share(fetched) + &detail;
            bar(label.to_owned(), fetched, whole, detail)
        };
        let ranges = |number| format!(", {}", counted(number, "range"));
        let mut rows = vec![
            row("Partial pull, any file system", files.total, ranges(files.range_count)),
            row("Partial pull, XFS or btrfs", chunks.total, ranges(chunks.range_count)),
            row("Changed layers, no partial pulls", layers.total, String::new()),
        ];
        rows.extend(gzip.as_ref().map(|gzip: &GzipUpdate| {
            let detail = format!("{}; {}", share(gzip.total), gzip.origin());
            bar("Changed layers as gzip".to_owned(), gzip.total, gzip.whole(), detail)
        }));
        let layers = counted(self.new.layers, "layer");
        rows.push(bar("NEW as a whole".to_owned(), whole, whole, layers));
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
        let legend = match self.outlook() {
            Outlook::FirstPull => vec![(Tone::Strong, "files"), (Tone::Rest, "everything else")],
            _ => vec![
                (Tone::Strong, "new files"),
                (Tone::Plain, "changed files"),
                (Tone::Rest, "everything else"),
            ],
        };
        Map { root: Node::of("fetched", parts), caption: caption.to_owned(), legend }
    }

    fn part_table(&self) -> Table {
        let rows = self.parts().into_iter().map(|(name, any, reflinks)| {
            vec![Value::Text(title(name)), Value::Bytes(any), Value::Bytes(reflinks)]
        });
        Table {
            caption: "Parts of a partial pull",
            columns: vec![
                Column::Text("Part"),
                Column::Number("Any file system"),
                Column::Number("XFS or btrfs"),
            ],
            rows: rows.collect(),
            rest: None,
        }
    }

    fn layer_table(&self) -> Table {
        let is_whole = self.outlook() == Outlook::Whole;
        let reasons = self.layers.iter().any(|layer| self.reason(layer).is_some());
        let rows = self.layers.iter().map(|layer| {
            let LayerDiff { number, digest, metadata, .. } = layer;
            let mut row = vec![
                Value::Count(*number),
                Value::Digest(digest.to_string()),
                Value::Text(self.state(layer).to_owned()),
                Value::Bytes(layer.size),
                Value::Bytes(layer.fetched),
            ];
            if !is_whole {
                row.extend([Value::Bytes(layer.fetched_with_chunks), Value::Bytes(*metadata)]);
            }
            row.extend(
                reasons.then(|| Value::Text(self.reason(layer).unwrap_or_default().to_owned())),
            );
            row
        });
        let mut columns = vec![
            Column::Number("Layer"),
            Column::Text("Digest"),
            Column::Text("Pull"),
            Column::Number("Compressed"),
            Column::Number("Fetched"),
        ];
        if !is_whole {
            columns.extend([Column::Number("XFS or btrfs"), Column::Number("TOC and tar-split")]);
        }
        columns.extend(reasons.then_some(Column::Text("Reason")));
        Table { caption: "Layers", columns, rows: rows.collect(), rest: None }
    }

    fn file_table(&self) -> Table {
        let is_first = self.outlook() == Outlook::FirstPull;
        let rows = self.largest.iter().take(LISTED).map(|file| {
            let mut row = vec![
                Value::Name(file.name.clone()),
                Value::Bytes(file.fetched),
                Value::Bytes(file.fetched_with_chunks),
                Value::Bytes(file.size),
            ];
            row.extend((!is_first).then(|| Value::Text(file.state.as_str().to_owned())));
            row.push(Value::Count(file.layer));
            row
        });
        let (changed, new) = (&self.files.changed, &self.files.new);
        let listed = self.largest.iter().take(LISTED);
        let listed = listed.fold(0, |sum: u64, file| sum.saturating_add(file.fetched));
        let more = (changed.files.saturating_add(new.files)).saturating_sub(rows.len() as u64);
        let fetched = changed.fetched.saturating_add(new.fetched).saturating_sub(listed);
        let mut columns = vec![
            Column::Text("File"),
            Column::Number("Fetched"),
            Column::Number("XFS or btrfs"),
            Column::Number("Uncompressed"),
        ];
        columns.extend((!is_first).then_some(Column::Text("State")));
        columns.push(Column::Number("Layer"));
        Table {
            caption: if is_first { "Largest files" } else { "New and changed files" },
            columns,
            rows: rows.collect(),
            rest: (more > 0).then(|| {
                format!("{}, of which {} are fetched", counted(more, "more file"), size(fetched))
            }),
        }
    }

    fn counts(&self) -> Table {
        let row = |(name, files): (&str, FileCount)| {
            vec![
                Value::Text(title(name)),
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
            rows: self.counted().into_iter().map(row).collect(),
            rest: None,
        }
    }
}

/// With a capital letter.
fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
            Column::Number("NEW as a whole"),
            Column::Number("Changed layers as gzip"),
            Column::Number("No partial pulls"),
            Column::Number("Any file system"),
            Column::Number("XFS or btrfs"),
        ],
        rows: rows.collect(),
        rest: images
            .first()
            .and_then(|image| image.platform.as_ref())
            .map(|first| format!("Add --platform {first} to see layers and files.")),
    }
}

fn section(heading: &str, content: Content) -> Section {
    Section { heading: Some(heading.to_owned()), content }
}
