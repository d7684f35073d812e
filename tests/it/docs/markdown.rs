//! What a page in Markdown holds.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A Markdown page of the documentation.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) headings: Vec<Heading>,
    /// Destinations of links and images, as they are written.
    pub(super) links: Vec<String>,
    pub(super) blocks: Vec<Block>,
}

pub(super) struct Heading {
    pub(super) level: usize,
    /// The name that links use.
    pub(super) anchor: String,
}

/// A code block.
pub(super) struct Block {
    /// What its first line says after the fence; empty for an indented block.
    pub(super) language: String,
    pub(super) code: String,
    /// The text of the HTML comment directly before it.
    pub(super) comment: Option<String>,
    /// The anchor of the section that it is in.
    pub(super) section: String,
    /// Its line in the page, from 1.
    pub(super) line: usize,
}

impl Block {
    /// The block above, if this one shows its output.
    pub(super) fn block_with_this_output<'a>(&self, page: &'a Page) -> Option<&'a Self> {
        let is_output = self.comment.as_deref() == Some("output of the block above");
        let above = page.blocks.iter().rev().find(|block| block.line < self.line);
        above.filter(|_| is_output)
    }
}

impl Page {
    pub(super) fn parse(path: PathBuf, text: String) -> Self {
        let (mut headings, mut links, mut blocks) = (Vec::new(), Vec::new(), Vec::<Block>::new());
        let mut anchors = HashMap::new();
        let mut heading: Option<String> = None;
        let mut in_block = false;
        let mut comment: Option<String> = None;
        let mut section = String::new();
        for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(level)) => {
                    let anchor =
                        number_repeated_anchor(&mut anchors, anchor(&heading.take().unwrap()));
                    section.clone_from(&anchor);
                    headings.push(Heading { level: level as usize, anchor });
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let line = text[..range.start].matches('\n').count() + 1;
                    let (code, section) = (String::new(), section.clone());
                    let comment = comment.take();
                    blocks.push(Block { language, code, comment, section, line });
                    in_block = true;
                }
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                    if in_block {
                        blocks.last_mut().unwrap().code.push_str(&part);
                    }
                }
                Event::Html(html) => {
                    links.extend(sources(&html));
                    let inner = html.trim().strip_prefix("<!--");
                    comment = inner
                        .and_then(|inner| inner.strip_suffix("-->"))
                        .map(|inner| inner.trim().to_owned());
                }
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                _ => comment = None,
            }
        }
        Self { path, text, headings, links, blocks }
    }

    /// Path of a relative link of this page, from the root of the repository.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let mut resolved = PathBuf::new();
        for part in self.path.parent().unwrap().join(path).components() {
            match part {
                Component::ParentDir => assert!(resolved.pop(), "{path} leads out"),
                part => resolved.push(part),
            }
        }
        resolved
    }

    /// `PATH:LINE` of a block, for messages.
    pub(super) fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }
}

/// Values of the attributes `src` and `srcset` in a line of HTML.
fn sources(html: &str) -> impl Iterator<Item = String> + '_ {
    ["src=\"", "srcset=\""].into_iter().flat_map(move |attribute| {
        html.split(attribute).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
    })
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// The anchor, with a number appended if the page has it already, as GitHub does.
fn number_repeated_anchor(anchors: &mut HashMap<String, usize>, anchor: String) -> String {
    let count = anchors.entry(anchor.clone()).or_default();
    *count += 1;
    match *count {
        1 => anchor,
        count => format!("{anchor}-{}", count - 1),
    }
}

#[test]
fn parsed_page_has_heading_anchors_links_and_code_blocks_with_comments_and_lines() {
    let text = "# A `b`, c?\n\n[x](y.md#z)\n\n<!-- not run: why -->\n```sh\nenvsnap\n```\n\n\
                ## A b c\n\n```json\n{}\n```\n\n<img src=\"a.png\">\n";
    let page = Page::parse(Path::new("docs/p.md").to_owned(), text.to_owned());
    let anchors: Vec<_> = page.headings.iter().map(|h| (h.level, &*h.anchor)).collect();
    assert_eq!(anchors, [(1, "a-b-c"), (2, "a-b-c-1")]);
    assert_eq!(page.links, ["y.md#z", "a.png"]);
    let blocks: Vec<_> = page
        .blocks
        .iter()
        .map(|b| (&*b.language, &*b.code, b.comment.as_deref(), &*b.section, b.line))
        .collect();
    assert_eq!(
        blocks,
        [
            ("sh", "envsnap\n", Some("not run: why"), "a-b-c", 6),
            ("json", "{}\n", None, "a-b-c-1", 12)
        ]
    );
    assert_eq!(page.resolve("../README.md"), Path::new("README.md"));
}
