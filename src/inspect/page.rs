//! The report of `inspect` as an HTML page.

use super::{InspectReport, InspectedLayer, report::Largest};
use crate::{
    report::{
        html::{
            Bar, Bars, Column, Content, Figure, Map, Node, Page, Section, Table, Tone, Value,
            Weight,
        },
        human::{count, counted, percent, size},
    },
    resolve::ListedImage,
};

/// Of each table of files and directories.
const LISTED: usize = 100;

impl InspectReport {
    pub(crate) fn page(&self) -> Page {
        let mut facts =
            vec![("Digest", self.digest.to_string()), ("Media type", self.media_type.clone())];
        facts.extend(self.config_digest.as_ref().map(|digest| ("Image ID", digest.to_string())));
        facts.extend(self.platform.clone().map(|platform| ("Platform", platform)));
        let facts = facts.into_iter().map(|(term, fact)| (term, vec![fact])).collect();
        let mut sections = Vec::new();
        if !self.images.is_empty() {
            sections.push(section("Images", Content::Table(images(&self.images))));
        }
        if !self.layers.is_empty() {
            sections.push(Section { heading: None, content: Content::Figures(self.figures()) });
            let read = self.layers.iter().any(|layer| layer.files.is_some());
            if read {
                sections.push(section("Size", Content::Bars(self.bars())));
                sections.push(section("Content", Content::Map(self.map())));
            }
            sections.push(section("Layers", Content::Table(self.layer_table())));
            if read {
                sections.push(section("Largest files", Content::Table(self.largest())));
                sections.push(section("Largest directories", Content::Table(self.directories())));
            }
        }
        let problems = self.layers.iter().filter_map(|layer| {
            let problem = layer.problem.as_ref()?;
            Some(format!("Layer {}: {problem}", layer.number))
        });
        let notes: Vec<_> = problems.chain(self.hint()).collect();
        if !notes.is_empty() {
            sections.push(section("Notes", Content::Notes(notes)));
        }
        Page { title: self.reference.clone(), lead: None, facts, sections }
    }

    fn sum(&self, of: impl Fn(&InspectedLayer) -> u64) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(of(layer)))
    }

    /// Where a number is not of all layers, of how many it is.
    fn some(&self, known: impl Fn(&InspectedLayer) -> bool) -> String {
        match self.layers.iter().filter(|layer| known(layer)).count() {
            all if all == self.layers.len() => String::new(),
            some => format!(", in {some} of {} layers", self.layers.len()),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let with_toc = self.layers.iter().filter(|layer| layer.toc_size.is_some()).count();
        let layers = counted(self.layers.len() as u64, "layer");
        let mut figures = vec![Figure {
            label: "Compressed",
            value: size(self.sum(|layer| layer.size)),
            detail: format!("{layers}, {with_toc} with a TOC"),
        }];
        let content = self.sum(|layer| layer.content_size.unwrap_or_default());
        let some = self.some(|layer| layer.files.is_some());
        if self.layers.iter().any(|layer| layer.files.is_some()) {
            let entries = count(self.sum(|layer| layer.entries.unwrap_or_default()));
            figures.extend([
                Figure {
                    label: "Content of files",
                    value: size(content),
                    detail: format!("uncompressed{some}"),
                },
                Figure {
                    label: "Files",
                    value: count(self.sum(|layer| layer.files.unwrap_or_default())),
                    detail: format!("of {entries} entries{some}"),
                },
            ]);
        }
        if with_toc > 0 {
            let holes = self.sum(|layer| layer.hole_size.unwrap_or_default());
            figures.push(Figure {
                label: "Chunks",
                value: count(self.sum(|layer| layer.chunks.unwrap_or_default())),
                detail: match holes {
                    0 => "that can be fetched on their own".to_owned(),
                    holes => format!("holes: {} ({})", size(holes), percent(holes, content)),
                },
            });
        }
        figures
    }

    fn bars(&self) -> Bars {
        let whole = self.sum(|layer| layer.size);
        let metadata = self.sum(metadata).min(whole);
        let uncompressed = self.sum(|layer| layer.uncompressed_size.unwrap_or_default());
        let content = self.sum(|layer| match layer.uncompressed_size {
            // Files with holes may be larger than the tar.
            Some(len) => layer.content_size.unwrap_or_default().min(len),
            None => 0,
        });
        let some = self.some(|layer| layer.uncompressed_size.is_some());
        let rows = vec![
            Bar {
                label: "Compressed".to_owned(),
                parts: vec![(Tone::Strong, whole - metadata), (Tone::Rest, metadata)],
                value: size(whole),
                detail: format!("{} of it TOC and tar-split", size(metadata)),
            },
            Bar {
                label: format!("Uncompressed{some}"),
                parts: vec![(Tone::Strong, content), (Tone::Rest, uncompressed - content)],
                value: size(uncompressed),
                detail: format!("{} of it outside of files", size(uncompressed - content)),
            },
        ];
        let legend = vec![(Tone::Strong, "content"), (Tone::Rest, "metadata")];
        Bars { rows, legend }
    }

    fn map(&self) -> Map {
        let weight = |path: &str, bytes| Weight { path: path.to_owned(), bytes, tone: Tone::Plain };
        let layers = self.layers.iter().map(|layer| {
            let contents = &layer.contents;
            let directories =
                contents.directories.iter().map(|(path, files)| weight(path, files.bytes));
            let files = contents.largest.iter().map(|file| weight(&file.name, file.size));
            Node::tree(format!("layer {}", layer.number), directories, files)
        });
        let mut layers: Vec<_> = layers.filter(|layer| layer.bytes > 0).collect();
        let root = match layers.pop() {
            Some(only) if layers.is_empty() => only,
            last => Node::of("image", layers.into_iter().chain(last).collect()),
        };
        let caption = "Uncompressed sizes of files by layer and directory. Files that a higher layer \
                       replaces or removes are included.";
        Map { root, caption: caption.to_owned(), legend: Vec::new() }
    }

    fn layer_table(&self) -> Table {
        let known =
            |number: Option<u64>, value: fn(u64) -> Value| number.map_or(Value::None, value);
        let rows = self.layers.iter().map(|layer| {
            vec![
                Value::Count(layer.number as u64),
                Value::Digest(layer.digest.to_string()),
                Value::Text(layer.format.clone()),
                Value::Bytes(layer.size),
                known(layer.uncompressed_size, Value::Bytes),
                known(layer.files, Value::Count),
                known(layer.chunks, Value::Count),
                known(layer.toc_size.map(|_| metadata(layer)), Value::Bytes),
            ]
        });
        Table {
            caption: "Layers",
            columns: vec![
                Column::Number("Layer"),
                Column::Text("Digest"),
                Column::Text("Format"),
                Column::Number("Compressed"),
                Column::Number("Uncompressed"),
                Column::Number("Files"),
                Column::Number("Chunks"),
                Column::Number("TOC and tar-split"),
            ],
            rows: rows.collect(),
            rest: None,
        }
    }

    fn largest(&self) -> Table {
        let files = self.layers.iter().flat_map(|layer| {
            layer
                .contents
                .largest
                .iter()
                .map(|Largest { name, size }| (*size, name, layer.number, 1))
        });
        let all = self.sum(|layer| layer.files.unwrap_or_default());
        table("Largest files", "File", false, files.collect(), all)
    }

    fn directories(&self) -> Table {
        let directories = self.layers.iter().flat_map(|layer| {
            let directories = layer.contents.directories.iter();
            directories.map(|(path, files)| (files.bytes, path, layer.number, files.count))
        });
        let directories: Vec<_> = directories.collect();
        let all = directories.len() as u64;
        table("Largest directories", "Directory", true, directories, all)
    }
}

/// The largest of files or directories: bytes, path, layer and number of files.
fn table(
    caption: &'static str,
    what: &'static str,
    counted: bool,
    mut all: Vec<(u64, &String, usize, u64)>,
    of: u64,
) -> Table {
    all.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    all.truncate(LISTED);
    let left = of.saturating_sub(all.len() as u64);
    let rows = all.into_iter().map(|(bytes, path, layer, files)| {
        let path = if path.is_empty() { "/".to_owned() } else { path.clone() };
        let mut row = vec![Value::Name(path), Value::Count(layer as u64)];
        row.extend(counted.then_some(Value::Count(files)));
        row.push(Value::Bytes(bytes));
        row
    });
    let mut columns = vec![Column::Text(what), Column::Number("Layer")];
    columns.extend(counted.then_some(Column::Number("Files")));
    columns.push(Column::Number("Size"));
    let rest = (left > 0).then(|| format!("{} more", count(left)));
    Table { caption, columns, rows: rows.collect(), rest }
}

fn metadata(layer: &InspectedLayer) -> u64 {
    layer.toc_size.unwrap_or_default().saturating_add(layer.tar_split_size.unwrap_or_default())
}

fn images(images: &[ListedImage]) -> Table {
    let rows = images.iter().map(|image| {
        vec![
            Value::Text(image.platform.clone().unwrap_or_else(|| "none".to_owned())),
            Value::Digest(image.digest.to_string()),
            Value::Text(image.media_type.clone()),
            Value::Text(if image.marked_zstd { "yes" } else { "no" }.to_owned()),
        ]
    });
    Table {
        caption: "Images",
        columns: vec![
            Column::Text("Platform"),
            Column::Text("Digest"),
            Column::Text("Media type"),
            Column::Text("Marked as zstd"),
        ],
        rows: rows.collect(),
        rest: None,
    }
}

fn section(heading: &str, content: Content) -> Section {
    Section { heading: Some(heading.to_owned()), content }
}
