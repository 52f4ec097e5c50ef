//! Expressions of llama-swap's matrix: `&` runs models together, `|` chooses one of several, `(…)` groups, `+name` is
//! another set. Each set becomes the variants that it stands for.

use std::collections::{BTreeMap, BTreeSet};

/// Variants of one set that become modes: more can't be told apart by a reader.
const COMBINATIONS_MAX: usize = 32;
/// Nesting of parentheses and of sets in sets.
const DEPTH_MAX: usize = 24;
/// Names that are copied while all sets are expanded, so that no file takes long.
const WORK_MAX: usize = 200_000;

/// Services that run together.
type SetVariant = BTreeSet<String>;

/// Variants of one set, without duplicates, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetVariants {
    pub(super) all: Vec<SetVariant>,
    /// True if further ones were left out.
    pub(super) is_cut: bool,
}

/// Sets of a matrix, and the services that their names stand for.
pub(super) struct MatrixSets<'a> {
    /// Expressions by the names of their sets.
    sets: BTreeMap<&'a str, &'a str>,
    /// Returns the service of a variable or a model's name.
    service: &'a dyn Fn(&str) -> Option<String>,
    known: BTreeMap<&'a str, Result<SetVariants, String>>,
    /// Sets that are being expanded.
    open: Vec<&'a str>,
    work: usize,
}

impl<'a> MatrixSets<'a> {
    pub(super) fn new(
        sets: impl IntoIterator<Item = (&'a str, &'a str)>,
        service: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let sets = sets.into_iter().collect();
        Self { sets, service, known: BTreeMap::new(), open: Vec::new(), work: 0 }
    }

    /// Returns the combinations of a set; `Err`: the reason why it has none.
    pub(super) fn expand(&mut self, name: &str) -> Result<SetVariants, String> {
        let Some((name, text)) = self.sets.get_key_value(name).map(|(name, text)| (*name, *text)) else {
            return Err(format!("`+{name}` is not a set"));
        };
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.open.contains(&name) || self.open.len() >= DEPTH_MAX {
            return Err(format!("`+{name}` refers to itself, or is nested too deeply"));
        }
        self.open.push(name);
        let tokens = tokens(text);
        let expanded = tokens.and_then(|tokens| {
            let mut expression = Expression { sets: self, tokens: &tokens, at: 0 };
            let all = expression.any_of(0)?;
            match expression.tokens.get(expression.at) {
                None => Ok(all),
                Some(token) => Err(format!("unexpected `{}`", token.shown())),
            }
        });
        self.open.pop();
        self.known.insert(name, expanded.clone());
        expanded
    }
}

/// Part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Set(String),
    And,
    Or,
    Open,
    Close,
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Set(name) => format!("+{name}"),
            Self::And => "&".to_owned(),
            Self::Or => "|".to_owned(),
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let is_part = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    let (mut tokens, mut rest) = (Vec::new(), text.trim());
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let token = match first {
            '&' => Token::And,
            '|' => Token::Or,
            '(' => Token::Open,
            ')' => Token::Close,
            '+' => Token::Set(after.chars().take_while(|character| is_part(*character)).collect()),
            _ if is_part(first) => Token::Name(rest.chars().take_while(|character| is_part(*character)).collect()),
            _ => return Err(format!("unexpected `{first}`")),
        };
        rest = match &token {
            Token::Set(name) => &after[name.len()..],
            Token::Name(name) => &rest[name.len()..],
            Token::And | Token::Or | Token::Open | Token::Close => after,
        }
        .trim_start();
        tokens.push(token);
    }
    Ok(tokens)
}

/// Expression, evaluated while it is read.
struct Expression<'e, 'a> {
    sets: &'e mut MatrixSets<'a>,
    tokens: &'e [Token],
    at: usize,
}

impl Expression<'_, '_> {
    fn takes(&mut self, token: &Token) -> bool {
        let is_next = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn any_of(&mut self, depth: usize) -> Result<SetVariants, String> {
        let mut all = self.all_of(depth)?;
        while self.takes(&Token::Or) {
            let more = self.all_of(depth)?;
            all.is_cut |= more.is_cut;
            for one in more.all {
                self.add(&mut all, one);
            }
        }
        Ok(all)
    }

    fn all_of(&mut self, depth: usize) -> Result<SetVariants, String> {
        let mut all = self.part(depth)?;
        while self.takes(&Token::And) {
            let more = self.part(depth)?;
            let mut product = SetVariants { all: Vec::new(), is_cut: all.is_cut || more.is_cut };
            for one in &all.all {
                for other in &more.all {
                    self.add(&mut product, one.union(other).cloned().collect());
                }
            }
            all = product;
        }
        Ok(all)
    }

    fn part(&mut self, depth: usize) -> Result<SetVariants, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        match token {
            Some(Token::Name(name)) => {
                let service =
                    (self.sets.service)(&name).ok_or_else(|| format!("`{name}` is not a model with a service"))?;
                Ok(SetVariants { all: vec![SetVariant::from([service])], is_cut: false })
            }
            Some(Token::Set(name)) => self.sets.expand(&name),
            Some(Token::Open) => {
                let all = self.any_of(depth + 1)?;
                if self.takes(&Token::Close) { Ok(all) } else { Err("a parenthesis is not closed".to_owned()) }
            }
            Some(token @ (Token::And | Token::Or | Token::Close)) => Err(format!("unexpected `{}`", token.shown())),
            None => Err("it ends too early".to_owned()),
        }
    }

    fn add(&mut self, all: &mut SetVariants, one: SetVariant) {
        self.sets.work += one.len();
        if all.all.len() >= COMBINATIONS_MAX || self.sets.work > WORK_MAX {
            all.is_cut = true;
        } else if !all.all.contains(&one) {
            all.all.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COMBINATIONS_MAX, MatrixSets, SetVariants};

    fn expanded(sets: &[(&str, &str)], name: &str) -> Result<SetVariants, String> {
        let service = |name: &str| name.chars().next().filter(char::is_ascii_lowercase).map(|_| name.to_owned());
        MatrixSets::new(sets.iter().copied(), &service).expand(name)
    }

    fn told(sets: &[(&str, &str)], name: &str) -> Result<Vec<String>, String> {
        let all = expanded(sets, name)?.all;
        Ok(all.iter().map(|one| one.iter().cloned().collect::<Vec<_>>().join("+")).collect())
    }

    #[test]
    fn a_set_is_its_combinations() {
        for (text, wanted) in [
            ("a", vec!["a"]),
            ("(g | q) & v", vec!["g+v", "q+v"]),
            ("g | q & v", vec!["g", "q+v"]),
            ("g & v | q", vec!["g+v", "q"]),
            ("a & a", vec!["a"]),
            ("(a | b) & (a | b)", vec!["a", "a+b", "b"]),
            ("llama-70b.x & +base", vec!["llama-70b.x+v"]),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(told(&[("it", text), ("base", "v")], "it"), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_faulty_set_has_a_reason() {
        for (text, reason) in [
            ("", "ends too early"),
            ("a &", "ends too early"),
            ("(a", "not closed"),
            ("a b", "unexpected `b`"),
            ("a )", "unexpected `)`"),
            ("a ; b", "unexpected `;`"),
            ("A", "`A` is not a model"),
            ("+it", "refers to itself"),
            ("+", "`+` is not a set"),
        ] {
            let told = told(&[("it", text)], "it").expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
        assert!(told(&[("it", &"(".repeat(100_000))], "it").is_err());
    }

    #[test]
    fn expansion_is_bounded() {
        let wide: Vec<String> = (0..40).map(|at| format!("(a{at} | b{at})")).collect();
        let cut = expanded(&[("it", &wide.join(" & "))], "it").expect("a set");
        assert_eq!((cut.all.len(), cut.is_cut), (COMBINATIONS_MAX, true));
        assert!(cut.all.iter().all(|one| one.len() == 40), "those that are left are whole");
        let chain: Vec<(String, String)> =
            (1..20).map(|at| (format!("s{at}"), format!("+s{0} & +s{0}", at - 1))).collect();
        let mut sets = vec![("s0", "a | b")];
        sets.extend(chain.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        assert_eq!(told(&sets, "s19").map(|all| all.len()), Ok(3));
        let long = vec!["a"; 300_000].join(" & ");
        assert!(expanded(&[("it", &long)], "it").is_ok_and(|all| all.is_cut));
    }
}
