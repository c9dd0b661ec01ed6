//! Rust source as tokens: comments are gone, texts are one token, and it is known what belongs to tests.

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'s> {
    /// Its characters; `::` is one token, every text literal is `"`.
    pub text: &'s str,
    /// Line, from 1.
    pub line: usize,
    /// It belongs to an inline `#[cfg(test)] mod`.
    pub test: bool,
}

impl Token<'_> {
    /// True for names and keywords.
    pub fn is_name(&self) -> bool {
        self.text.starts_with(|first: char| first == '_' || first.is_alphabetic())
    }
}

/// Splits a source file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner { rest: source, line: 1 };
    let mut found = Vec::new();
    while let Some(token) = scanner.next_token() {
        found.push(token);
    }
    mark_tests(&mut found);
    found
}

struct Scanner<'s> {
    rest: &'s str,
    line: usize,
}

impl<'s> Scanner<'s> {
    fn next_token(&mut self) -> Option<Token<'s>> {
        loop {
            self.take(self.rest.len() - self.rest.trim_start().len());
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(block_comment(self.rest));
            } else {
                break;
            }
        }
        let first = self.rest.chars().next()?;
        let line = self.line;
        if let Some(length) = text_literal(self.rest) {
            self.take(length);
            return Some(Token { text: "\"", line, test: false });
        }
        let word = |c: char| c == '_' || c.is_alphanumeric();
        let length = if word(first) {
            self.rest.find(|c| !word(c)).unwrap_or(self.rest.len())
        } else if self.rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        Some(Token { text: self.take(length), line, test: false })
    }

    fn take(&mut self, length: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn block_comment(source: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < source.len() {
        let rest = &source.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of the string, character or lifetime that `source` begins with.
fn text_literal(source: &str) -> Option<usize> {
    let after_prefix = source.trim_start_matches(['b', 'c']);
    let prefix = source.len() - after_prefix.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = after_prefix.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix + 1 + hashes + 1 + body.find(&end)? + end.len());
    }
    match after_prefix.chars().next()? {
        '"' => Some(prefix + quoted(after_prefix, '"')),
        '\'' if is_character(&after_prefix[1..]) => Some(prefix + quoted(after_prefix, '\'')),
        '\'' if prefix == 0 => {
            Some(1 + source[1..].find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(source.len() - 1))
        }
        _ => None,
    }
}

fn is_character(behind_quote: &str) -> bool {
    let mut characters = behind_quote.chars();
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

fn quoted(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in source.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    source.len()
}

/// Marks what stands in `#[cfg(test)] mod name { ... }`.
fn mark_tests(tokens: &mut [Token<'_>]) {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens[at..].iter().map(|token| token.text).take(ATTRIBUTE.len()).eq(ATTRIBUTE);
        let end = if begins { end_of_test_module(tokens, at + ATTRIBUTE.len()) } else { None };
        if let Some(end) = end {
            tokens[at..=end].iter_mut().for_each(|token| token.test = true);
            at = end;
        }
        at += 1;
    }
}

/// Index of the closing brace when an inline module stands at `from`, other attributes before it.
fn end_of_test_module(tokens: &[Token<'_>], mut from: usize) -> Option<usize> {
    while tokens.get(from)?.text == "#" {
        from += 1 + matching(&tokens[from + 1..])? + 1;
    }
    if tokens.get(from)?.text != "mod" || tokens.get(from + 2)?.text != "{" {
        return None;
    }
    Some(from + 2 + matching(&tokens[from + 2..])?)
}

/// Index of the bracket that closes the one at the beginning.
fn matching(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[test]
fn comments_texts_and_lifetimes_hide_nothing_behind_them() {
    let source = r##"a /* x /* y */ z */ b // c
        "d \" e" f r#"g " h"# i b'\'' 'j' k<'l> m::n b"o" 'static br"p" q '"' r"##;
    let names: Vec<&str> = tokens(source).into_iter().filter(Token::is_name).map(|token| token.text).collect();
    assert_eq!(names, ["a", "b", "f", "i", "k", "m", "n", "q", "r"]);
}

#[test]
fn test_modules_end_where_their_brace_closes() {
    let source =
        "one #[cfg(test)] #[expect(x, reason = \"}\")] mod tests { two { } '}' } three #[cfg(test)] mod tests;";
    let inside: Vec<&str> = tokens(source).into_iter().filter(|t| t.test && t.is_name()).map(|t| t.text).collect();
    assert_eq!(inside, ["cfg", "test", "expect", "x", "reason", "mod", "tests", "two"]);
}
