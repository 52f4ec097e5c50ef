//! Source files of a manifest, and spans in them. Every value has a [`Span`], which is small; it becomes a
//! [`SourceLocation`], with line and column, only for a diagnostic.

use std::path::{Component, Path, PathBuf};

use crate::model::converged::FileText;
use crate::model::secret::Masker;
use crate::syntax::place::SourceLocation;

/// One source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path as the user named it, or relative to lcm's working directory.
    pub path: PathBuf,
    /// Absolute folder from which relative paths in this file start.
    pub folder: PathBuf,
    pub text: String,
    /// True if its lines may be quoted in an error.
    pub is_quotable: bool,
    /// True if it was read from a descriptor and has no path of its own.
    pub is_streamed: bool,
    line_starts: Vec<usize>,
}

impl Source {
    pub(crate) fn new(path: PathBuf, folder: PathBuf, text: String) -> Self {
        let line_starts = [0].into_iter().chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
        Self { path, folder, text, is_quotable: true, is_streamed: false, line_starts }
    }
}

/// Files read so far; a [`Span`] refers to one by its position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Adds a file, and returns its number.
    pub(crate) fn add(&mut self, source: Source) -> usize {
        self.0.push(source);
        self.0.len() - 1
    }

    /// Masks secrets with stars of the same width, so that every span stays valid.
    pub(crate) fn conceal(&mut self, masker: &Masker) {
        for source in self.0.iter_mut().filter(|_| !masker.is_empty()) {
            source.text = masker.mask_in_width(&source.text);
        }
    }

    /// Returns all files with their absolute paths; `None`: a path is not valid UTF-8.
    pub(crate) fn into_texts(self) -> Option<Vec<FileText>> {
        let text = |source: Source| {
            let path = source.folder.join(source.path.file_name()?);
            path.to_str()?;
            Some(FileText { path, text: source.text })
        };
        self.0.into_iter().map(text).collect()
    }

    pub(crate) fn get(&self, file: usize) -> &Source {
        &self.0[file]
    }

    pub(crate) fn by_path(&self, path: &Path) -> Option<&Source> {
        self.0.iter().find(|source| source.path == path)
    }

    /// Returns a sort key: files in the order of reading; places outside all files come first.
    pub(crate) fn order(&self, place: Option<&SourceLocation>) -> (Option<usize>, usize) {
        let file = place.and_then(|place| self.0.iter().position(|source| source.path == place.file));
        (file, place.map_or(0, |place| place.offset))
    }

    pub(crate) fn place(&self, span: Span) -> SourceLocation {
        let source = self.get(span.file);
        let offset = span.offset.min(source.text.len());
        let line = source.line_starts.partition_point(|start| *start <= offset).max(1);
        let before = source.text.get(source.line_starts[line - 1]..offset).unwrap_or_default();
        SourceLocation {
            file: source.path.clone(),
            offset,
            length: span.length,
            line,
            column: before.trim_start_matches('\u{feff}').chars().count() + 1,
        }
    }
}

/// Range of one of the [`Sources`], in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub file: usize,
    pub offset: usize,
    pub length: usize,
}

/// Normalizes `a/./b/../c` to `a/c` without reading the disk: a path is shown and hashed as written.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match tidy.components().next_back() {
                Some(Component::Normal(_)) => {
                    tidy.pop();
                }
                Some(Component::RootDir) => {}
                Some(Component::ParentDir | Component::CurDir | Component::Prefix(_)) | None => tidy.push(".."),
            },
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => tidy.push(component),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Source, Sources, Span, tidy};

    #[test]
    fn a_path_is_tidied_as_text() {
        for (written, wanted) in [
            ("modes/../lcm.yaml", "lcm.yaml"),
            ("./a/./b", "a/b"),
            ("../../x", "../../x"),
            ("/../x", "/x"),
            ("a/..", ""),
        ] {
            assert_eq!(tidy(Path::new(written)), PathBuf::from(wanted), "{written}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        let text = "a: 1\né: wörd x\n".to_owned();
        let offset = text.find('x').unwrap();
        let file = sources.add(Source::new("m.yaml".into(), "/".into(), text));
        let place = sources.place(Span { file, offset, length: 1 });
        assert_eq!((place.line, place.column), (2, 9));
    }
}
