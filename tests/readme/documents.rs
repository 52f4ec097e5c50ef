//! The README and the topics of `lcm help`, and the blocks of code in them.

/// Text for users, by its name.
#[derive(Clone, Copy)]
pub(crate) struct Document {
    pub(crate) name: &'static str,
    text: &'static str,
}

macro_rules! documents {
    ($($name:literal)*) => {
        /// All documents, in the order in which their commands are run.
        pub(crate) const DOCUMENTS: &[Document] = &[
            Document { name: "README.md", text: include_str!("../../README.md") },
            $(Document { name: $name, text: include_str!(concat!("../../src/cli/topics/", $name)) }),*
        ];
    };
}
documents!("manifest.md" "planning.md" "recipes.md" "existing.md" "holds.md" "hooks.md" "history.md" "watching.md" "users.md" "limits.md");

/// Block of code of a document.
pub(crate) struct Block {
    pub(crate) document: &'static str,
    /// Number of its first line.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Returns the blocks of all documents in this language.
pub(crate) fn blocks(language: &str) -> Vec<Block> {
    DOCUMENTS.iter().flat_map(|document| of(*document, language)).collect()
}

fn of(Document { name, text }: Document, language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(bool, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(opened)) => {
                open = Some((opened == language, Block { document: name, line: index + 2, text: String::new() }));
            }
            (Some(_), Some(_)) => found.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block)),
            (Some((_, block)), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}
