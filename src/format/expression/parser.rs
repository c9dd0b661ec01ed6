//! The grammar of an expression: `or` binds weakest, then `and`, then `not`.

use super::lexer::{Placed, Token, tokens};
use super::{ExpressionFault, Match, Node, Operand, Order, Part, What};
use crate::record::Decimal;
use std::ops::Range;

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 64;

const ORDERS: [(&str, Order); 8] = [
    ("=", Order::Equal),
    ("==", Order::Equal),
    ("!=", Order::Different),
    ("<>", Order::Different),
    ("<", Order::Less),
    ("<=", Order::LessOrEqual),
    (">", Order::Greater),
    (">=", Order::GreaterOrEqual),
];
const MATCHES: [(&str, Match); 3] =
    [("starts_with", Match::Start), ("ends_with", Match::End), ("contains", Match::Anywhere)];

type Parsed<T> = Result<T, ExpressionFault>;

pub(super) fn parse(text: &str) -> Parsed<Node> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.len(), depth: 0 };
    if parser.tokens.is_empty() {
        return Err(ExpressionFault::new(0..text.len(), "the expression is empty"));
    }
    let root = parser.any()?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |placed| placed.span.clone())
    }

    fn expected(&self, what: &str) -> ExpressionFault {
        ExpressionFault::new(self.span(), format!("expected {what}"))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let taken = self.is_sign(sign);
        self.at += usize::from(taken);
        taken
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let taken = self.is_word(word);
        self.at += usize::from(taken);
        taken
    }

    fn require_sign(&mut self, sign: &str) -> Parsed<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn any(&mut self) -> Parsed<Node> {
        let first = self.all()?;
        let mut nodes = vec![first];
        while self.take_word("or") || self.take_sign("||") {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Parsed<Node> {
        let first = self.not()?;
        let mut nodes = vec![first];
        while self.take_word("and") || self.take_sign("&&") {
            nodes.push(self.not()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn not(&mut self) -> Parsed<Node> {
        if self.is_word("not") || self.is_sign("!") {
            self.deeper()?;
            self.at += 1;
            let node = self.not()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(node)));
        }
        if self.is_sign("(") {
            self.deeper()?;
            self.at += 1;
            let node = self.any()?;
            self.require_sign(")")?;
            self.depth -= 1;
            return Ok(node);
        }
        self.test()
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(ExpressionFault::new(self.span(), format!("nested deeper than {DEPTH_MAX}")))
    }

    fn test(&mut self) -> Parsed<Node> {
        if let Some(how) = self.match_word() {
            self.at += 1;
            self.require_sign("(")?;
            let value = self.operand()?;
            self.require_sign(",")?;
            let text = self.operand()?;
            self.require_sign(")")?;
            return Ok(Node::Match { how, value, text });
        }
        let left = self.operand()?;
        if self.take_word("is") {
            let negated = self.take_word("not");
            if !self.take_word("empty") {
                return Err(self.expected("`empty`"));
            }
            return Ok(negate(negated, Node::Empty(left)));
        }
        let negated = self.take_word("not");
        if self.take_word("in") {
            return Ok(negate(negated, Node::In { value: left, list: self.list()? }));
        }
        if negated {
            return Err(self.expected("`in`"));
        }
        let order = match self.peek() {
            Some(Token::Sign(sign)) => ORDERS.iter().find(|(known, _)| known == sign).map(|(_, order)| *order),
            Some(Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Number(_)) | None => None,
        };
        let order = order.ok_or_else(|| self.expected("a comparison such as `=`, `in (…)` or `is empty`"))?;
        self.at += 1;
        Ok(Node::Compare { left, order, right: self.operand()? })
    }

    /// The function whose name and parenthesis come next.
    fn match_word(&self) -> Option<Match> {
        let called = matches!(self.tokens.get(self.at + 1), Some(Placed { token: Token::Sign("("), .. }));
        MATCHES.iter().find(|(word, _)| called && self.is_word(word)).map(|(_, how)| *how)
    }

    fn list(&mut self) -> Parsed<Vec<Operand>> {
        self.require_sign("(")?;
        let mut list = vec![self.operand()?];
        while self.take_sign(",") {
            list.push(self.operand()?);
        }
        self.require_sign(")")?;
        Ok(list)
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let span = self.span();
        let called = matches!(self.tokens.get(self.at + 1), Some(Placed { token: Token::Sign("("), .. }));
        let what = match self.peek().cloned() {
            Some(Token::Word(word)) if called && word.eq_ignore_ascii_case("substr") => return self.substr(span),
            Some(Token::Word(word)) if called => {
                let message =
                    format!("unknown function `{word}`; known are starts_with, ends_with, contains and substr");
                return Err(ExpressionFault::new(span, message));
            }
            Some(Token::Word(name) | Token::Name(name)) => What::Field { name, part: None },
            Some(Token::Text(text)) => What::Text(text),
            Some(Token::Number(text)) => {
                let number = Decimal::parse(text.as_bytes());
                What::Number(number.map_err(|fault| ExpressionFault::new(span.clone(), format!("`{text}` {fault}")))?)
            }
            Some(Token::Sign(_)) | None => return Err(self.expected("a field, a text in quotes or a number")),
        };
        self.at += 1;
        Ok(Operand { span, what })
    }

    fn substr(&mut self, start: Range<usize>) -> Parsed<Operand> {
        self.at += 1;
        self.require_sign("(")?;
        let value = self.operand()?;
        let What::Field { name, part: None } = value.what else {
            return Err(ExpressionFault::new(value.span, "substr takes a field"));
        };
        self.require_sign(",")?;
        let from = self.count(1)?;
        self.require_sign(",")?;
        let length = self.count(0)?;
        let end = self.span().end;
        self.require_sign(")")?;
        let part = Some(Part { from: from - 1, length });
        Ok(Operand { span: start.start..end, what: What::Field { name, part } })
    }

    fn count(&mut self, least: usize) -> Parsed<usize> {
        let number = match self.peek() {
            Some(Token::Number(text)) => text.parse().ok().filter(|number| *number >= least),
            Some(Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Sign(_)) | None => None,
        };
        let number = number.ok_or_else(|| self.expected(&format!("a whole number of at least {least}")))?;
        self.at += 1;
        Ok(number)
    }
}

fn negate(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}
