//! From YAML text to a tree of nodes, within bounds.
//!
//! An alias shares the node of its anchor, so it costs no memory. Its size counts as if it were
//! written out, which bounds the work of parsing the tree.
//!
//! # Why the parser's own tree is not used
//!
//! The scanner of the library gives events with positions. A tree that is built from them here has
//! three properties that a general one lacks: each node has the place of its key, duplicate keys
//! are mistakes, and the work of reading it is bounded before it begins.
//!
//! A thousand aliases of a list of a thousand items are a million values for a reader, and two
//! thousand nodes in memory. `count` adds the size of the anchor at each alias, so such a text is
//! refused while it is loaded.
//!
//! # What is refused
//!
//! Tags other than `!!str` and the default ones, merge keys (`<<`), keys that are not plain names,
//! and a second document.

use std::collections::HashMap;
use std::collections::btree_map::Entry as Slot;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::diagnostic::Code;
use crate::node::{Content, Entries, Entry, Kind, Node, Scalar, Spot, quote};
use crate::report::{Report, start};
use crate::value::join;

/// The largest text. Manifests have a few KiB; the store of wadm takes 1 MiB.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting. The deepest field of a manifest is at level 12.
const MAX_DEPTH: usize = 64;
/// The largest number of values, with aliases written out. A manifest of 10,000 actors stays below
/// it.
const MAX_SIZE: usize = 200_000;

/// The document. `None` if it cannot be loaded. All mistakes are reported.
pub(crate) fn load(text: &str, report: &Report) -> Option<Rc<Node>> {
    if text.len() > MAX_BYTES {
        let found = Some(format!("{} bytes", text.len()));
        let message = format!("expected at most {MAX_BYTES} bytes");
        report.error(start(), Code::TooLarge, message, found);
        return None;
    }
    let mut loader = Loader::new(report);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => loader.handle(event, spot(&span.start))?,
            Err(error) => return loader.unreadable(&error),
        }
        if loader.ended {
            break;
        }
    }
    loader.root.or_else(|| {
        let message = "expected an Application";
        report.error(start(), Code::Missing, message, Some("nothing".to_owned()));
        None
    })
}

/// Builds the tree from the events of the scanner.
struct Loader<'r> {
    report: &'r Report<'r>,
    /// The lists and maps that are not complete, the outermost first.
    open: Vec<Open>,
    /// Complete nodes by the number of their anchor.
    anchors: HashMap<usize, Rc<Node>>,
    /// The values so far, with aliases written out.
    size: usize,
    root: Option<Rc<Node>>,
    /// Whether a second document begins: it is not read.
    ended: bool,
}

/// A list or a map that is not complete yet.
struct Open {
    spot: Spot,
    /// The number of its anchor; 0 without one.
    anchor: usize,
    children: Children,
}

/// The children so far.
enum Children {
    List(Vec<Rc<Node>>),
    /// With the key whose value comes next.
    Map(Entries, Option<(String, Spot)>),
}

impl<'r> Loader<'r> {
    fn new(report: &'r Report) -> Self {
        Self {
            report,
            open: Vec::new(),
            anchors: HashMap::new(),
            size: 0,
            root: None,
            ended: false,
        }
    }

    /// Handles an event. `None` ends the loading.
    fn handle(&mut self, event: Event, spot: Spot) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = self.scalar(text.into_owned(), style, tag.as_deref(), spot);
                self.add(Content::Scalar(scalar), spot, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", spot);
                self.begin(Children::List(Vec::new()), spot, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", spot);
                self.begin(Children::Map(Entries::new(), None), spot, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, spot),
            Event::DocumentStart(_) if self.root.is_some() => {
                self.second_document(spot);
                Some(())
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Some(()),
        }
    }

    /// Reports a second document. The first one is still parsed, so that its mistakes are reported,
    /// too.
    fn second_document(&mut self, spot: Spot) {
        let message = "expected one application in a file";
        let found = "a second document; give each application a file of its own";
        self.say(Code::Unsupported, message, Some(found.to_owned()), spot);
        self.ended = true;
    }

    /// Begins a list or a map.
    fn begin(&mut self, children: Children, spot: Spot, anchor: usize) -> Option<()> {
        self.open.push(Open {
            spot,
            anchor,
            children,
        });
        self.check_depth(self.open.len(), spot)
    }

    /// Completes the innermost list or map, and attaches it.
    fn end(&mut self) -> Option<()> {
        let Open {
            spot,
            anchor,
            children,
        } = self.open.pop()?;
        let content = match children {
            Children::List(list) => Content::List(list),
            Children::Map(entries, _) => Content::Map(entries),
        };
        self.add(content, spot, anchor)
    }

    /// Attaches the node of an anchor. An alias within its own anchor is refused, since the anchor
    /// is not complete.
    fn alias(&mut self, anchor: usize, spot: Spot) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "expected an alias to stand behind the end of its anchor";
            return self.refuse(Code::Syntax, message, None, spot);
        };
        self.check_depth(self.open.len() + node.height, spot)?;
        self.count(node.size, spot)?;
        self.attach(node, spot)
    }

    /// Makes a node, counts it, notes its anchor, and attaches it.
    fn add(&mut self, content: Content, spot: Spot, anchor: usize) -> Option<()> {
        let node = Rc::new(Node::new(content, spot));
        self.count(node.own_size(), spot)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, spot)
    }

    /// Attaches a node: it is the root, an item, a key or a value.
    fn attach(&mut self, node: Rc<Node>, spot: Spot) -> Option<()> {
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.root = Some(node),
            Some(Children::List(list)) => list.push(node),
            Some(Children::Map(_, key @ None)) => {
                let Some(text) = key_text(&node) else {
                    return self.refuse_key(&node, spot);
                };
                *key = Some((text, spot));
            }
            Some(Children::Map(entries, key)) => {
                let (key, key_spot) = key.take()?;
                match entries.entry(key) {
                    Slot::Vacant(free) => {
                        free.insert(entry(node, key_spot));
                    }
                    Slot::Occupied(taken) => {
                        let (key, first) = (taken.key().clone(), taken.get().spot);
                        self.duplicate(&key, first, key_spot);
                    }
                }
            }
        }
        Some(())
    }

    /// Refuses a key that is not a name.
    fn refuse_key(&mut self, node: &Node, spot: Spot) -> Option<()> {
        let message = match &node.content {
            Content::Scalar(scalar) if scalar.text == "<<" => {
                "merge keys are not a part of YAML 1.2: expected the fields themselves"
            }
            _ => "expected a name as key",
        };
        self.refuse(Code::Syntax, message, Some(node.describe()), spot)
    }

    /// Reports a key that occurs twice. The first one counts.
    fn duplicate(&self, key: &str, first: Spot, spot: Spot) {
        let message = format!("expected each key once; line {} has it already", first.line);
        self.say(Code::Duplicate, message, Some(quote(key)), spot);
    }

    /// A scalar with its type: text if it is quoted or tagged so.
    fn scalar(&self, text: String, style: ScalarStyle, tag: Option<&Tag>, spot: Spot) -> Scalar {
        let text_by_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !text_by_tag {
            self.check_tag(tag, "", spot);
        }
        let kind = if text_by_tag || style != ScalarStyle::Plain {
            Kind::Text
        } else {
            Kind::of(&text)
        };
        Scalar { text, kind }
    }

    /// Reports a tag other than the default one of its type.
    fn check_tag(&self, tag: Option<&Tag>, allowed: &str, spot: Spot) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() || tag.suffix != allowed) {
            let found = Some(quote(&tag.to_string()));
            self.say(Code::Syntax, "expected a value without a tag", found, spot);
        }
    }

    /// Refuses a nesting that is too deep.
    fn check_depth(&self, depth: usize, spot: Spot) -> Option<()> {
        if depth <= MAX_DEPTH {
            return Some(());
        }
        let message = format!("expected at most {MAX_DEPTH} levels of lists and maps");
        self.refuse(Code::TooLarge, message, None, spot)
    }

    /// Adds to the size, and refuses one that is too large.
    fn count(&mut self, size: usize, spot: Spot) -> Option<()> {
        self.size = self.size.saturating_add(size);
        if self.size <= MAX_SIZE {
            return Some(());
        }
        let message = format!("expected at most {MAX_SIZE} values, with aliases written out");
        self.refuse(Code::TooLarge, message, None, spot)
    }

    /// Reports an error of the scanner.
    fn unreadable<T>(&self, error: &saphyr_parser::ScanError) -> Option<T> {
        let message = format!("expected YAML: {}", error.info());
        self.refuse(Code::Syntax, message, None, spot(error.marker()))
    }

    /// Reports an error that ends the loading.
    fn refuse<T>(
        &self,
        code: Code,
        message: impl Into<String>,
        found: Option<String>,
        spot: Spot,
    ) -> Option<T> {
        self.say(code, message, found, spot);
        None
    }

    /// Reports an error at this position.
    fn say(&self, code: Code, message: impl Into<String>, found: Option<String>, spot: Spot) {
        let place = spot.place(self.path());
        self.report.error(place, code, message, found);
    }

    /// The path of the present position.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.children {
                Children::List(list) => path = format!("{path}[{}]", list.len()),
                Children::Map(_, Some((key, _))) => path = join(&path, key),
                Children::Map(_, None) => {}
            }
        }
        path
    }
}

/// A position of the scanner, with columns from 1.
fn spot(marker: &Marker) -> Spot {
    Spot {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// The text of a key, if it can be one.
fn key_text(node: &Node) -> Option<String> {
    match &node.content {
        Content::Scalar(scalar) if scalar.kind != Kind::Null && scalar.text != "<<" => {
            Some(scalar.text.clone())
        }
        _ => None,
    }
}

/// An entry of a map. The scanner places an empty value at the next token, so the place of its key
/// is used.
fn entry(node: Rc<Node>, spot: Spot) -> Entry {
    match &node.content {
        Content::Scalar(scalar) if scalar.kind == Kind::Null && scalar.text.is_empty() => {
            let node = Rc::new(Node::new(Content::Scalar(scalar.clone()), spot));
            Entry { spot, node }
        }
        _ => Entry { spot, node },
    }
}
