//! Drafts of whole configurations: bounded for hostile ones, and read by the loader of every manifest.
