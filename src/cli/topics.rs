//! Topics of `lcm help`, which are manual pages too. Their texts are beside this file; tests run every command in them.

use crate::cli::wire;

/// Long text on one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topic {
    /// Name for `lcm help`; the manual page is `lcm-NAME`.
    pub(crate) name: &'static str,
    text: &'static str,
}

/// Name of the topic that describes every key of a manifest.
pub(crate) const KEYS: &str = "lcm.yaml";

macro_rules! topics {
    ($($name:literal)*) => {
        /// All topics with a text of their own, in the order of the README.
        pub(crate) const TOPICS: &[Topic] =
            &[$(Topic { name: $name, text: include_str!(concat!("topics/", $name, ".md")) }),*];
    };
}
topics!("manifest" "planning" "recipes" "existing" "holds" "hooks" "history" "watching" "users" "limits");

impl Topic {
    /// Returns the subject in a few words.
    pub(crate) fn about(&self) -> &'static str {
        let title = self.text.lines().next().unwrap_or_default();
        title.split_once(": ").map_or(title, |(_, about)| about)
    }

    /// Returns the text without its title.
    pub(crate) fn body(&self) -> &'static str {
        self.text.split_once('\n').map_or("", |(_, body)| body.trim_start())
    }

    /// Returns the whole text.
    pub(crate) fn markdown(&self) -> &'static str {
        self.text
    }
}

/// Returns the description of every key of a manifest, in Markdown.
pub(crate) fn keys() -> String {
    reference::markdown(&wire::manifest_schema())
}

mod reference;

#[cfg(test)]
mod tests {
    use super::{TOPICS, keys};

    #[test]
    fn each_topic_has_a_title_with_its_name() {
        for topic in TOPICS {
            assert!(topic.markdown().starts_with(&format!("# {}: ", topic.name)), "{}", topic.name);
            assert!(
                !topic.about().is_empty() && topic.about().len() < 60 && topic.body().len() > 500,
                "{}",
                topic.name
            );
        }
    }

    #[test]
    fn every_key_of_the_schema_is_described() {
        let (schema, text) = (crate::cli::wire::manifest_schema(), keys());
        let objects = schema["definitions"].as_object().expect("definitions").values().chain([&schema]);
        let mut found = 0;
        for key in objects.filter_map(|object| object["properties"].as_object()).flat_map(serde_json::Map::keys) {
            assert!(text.contains(&format!("- **{key}**")), "{key}");
            found += 1;
        }
        assert!(found > 150, "{found}");
    }
}
