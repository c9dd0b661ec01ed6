//! From names to field indexes, and from comparisons to the way in which they are made.

use super::filter::{Check, Filter, NumberValue, TextSource, TextValue, TimeValue};
use super::{ExpressionFault, Node, Operand, Order, Part, What};
use crate::document::nearest;
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::format::time_layout::{Ambiguous, TimeLayout};
use crate::record::{Decimal, FieldKind, Schema};
use std::ops::Range;
use std::sync::Arc;

type Compiled<T> = Result<T, ExpressionFault>;

pub(super) fn compile(root: &Node, schema: &Schema) -> Compiled<Filter> {
    Ok(Filter::new(node(root, schema)?))
}

fn node(tree: &Node, schema: &Schema) -> Compiled<Check> {
    Ok(match tree {
        Node::Any(nodes) => Check::Any(nodes.iter().map(|tree| node(tree, schema)).collect::<Compiled<_>>()?),
        Node::All(nodes) => Check::All(nodes.iter().map(|tree| node(tree, schema)).collect::<Compiled<_>>()?),
        Node::Not(inner) => Check::Not(Box::new(node(inner, schema)?)),
        Node::Compare { left, order, right } => compare(&resolve(left, schema)?, *order, &resolve(right, schema)?)?,
        Node::In { value, list } => is_in(value, list, schema)?,
        Node::Empty(value) => match resolve(value, schema)?.what {
            Value::Text(source) | Value::Number(source) => Check::Empty(source),
            Value::Time(field) => Check::Empty(TextSource { field, name: Arc::from(""), part: None }),
            Value::TextLiteral(_) | Value::NumberLiteral(_) => return fault(&value.span, "only a field can be empty"),
        },
        Node::Match { how, value, text } => {
            let source = match resolve(value, schema)?.what {
                Value::Text(source) | Value::Number(source) => source,
                Value::Time(_) | Value::TextLiteral(_) | Value::NumberLiteral(_) => {
                    return fault(&value.span, "expected a text field");
                }
            };
            let What::Text(text) = &text.what else { return fault(&text.span, "expected a text in quotes") };
            Check::Match { how: *how, value: source, text: text.as_bytes().into() }
        }
    })
}

fn fault<T>(span: &Range<usize>, message: impl Into<String>) -> Compiled<T> {
    Err(ExpressionFault::new(span.clone(), message))
}

/// An operand whose field was found.
struct Resolved<'a> {
    span: &'a Range<usize>,
    what: Value<'a>,
}

enum Value<'a> {
    Text(TextSource),
    Number(TextSource),
    Time(usize),
    TextLiteral(&'a str),
    NumberLiteral(Decimal),
}

impl Value<'_> {
    const fn is_literal(&self) -> bool {
        matches!(self, Self::TextLiteral(_) | Self::NumberLiteral(_))
    }
}

fn resolve<'a>(operand: &'a Operand, schema: &Schema) -> Compiled<Resolved<'a>> {
    let what = match &operand.what {
        What::Text(text) => Value::TextLiteral(text),
        What::Number(number) => Value::NumberLiteral(*number),
        What::Field { name, part } => field(operand, name, *part, schema)?,
    };
    Ok(Resolved { span: &operand.span, what })
}

fn field<'a>(operand: &Operand, name: &str, part: Option<Part>, schema: &Schema) -> Compiled<Value<'a>> {
    let Some((index, found)) = schema.fields.iter().enumerate().find(|(_, field)| field.name == name) else {
        let hint = match nearest(name, schema.names()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known are {}", schema.names().collect::<Vec<_>>().join(", ")),
        };
        return fault(&operand.span, format!("unknown field `{name}`; {hint}"));
    };
    let source = TextSource { field: index, name: Arc::from(name), part };
    match (found.kind, part) {
        (FieldKind::Time, Some(_)) => fault(&operand.span, format!("`{name}` is a time, which has no characters")),
        (FieldKind::Time, None) => Ok(Value::Time(index)),
        (FieldKind::Number, None) => Ok(Value::Number(source)),
        (FieldKind::Number, Some(_)) | (FieldKind::Text, _) => Ok(Value::Text(source)),
    }
}

fn compare(left: &Resolved<'_>, order: Order, right: &Resolved<'_>) -> Compiled<Check> {
    if left.what.is_literal() && right.what.is_literal() {
        return fault(&(left.span.start..right.span.end), "two constants are compared");
    }
    let either = |is: fn(&Value<'_>) -> bool| is(&left.what) || is(&right.what);
    if either(|value| matches!(value, Value::Time(_))) {
        return Ok(Check::Time { left: time(left)?, order, right: time(right)? });
    }
    if either(|value| matches!(value, Value::Number(_) | Value::NumberLiteral(_))) {
        return Ok(Check::Number { left: number(left)?, order, right: number(right)? });
    }
    Ok(Check::Text { left: text(left)?, order, right: text(right)? })
}

fn is_in(value: &Operand, list: &[Operand], schema: &Schema) -> Compiled<Check> {
    let value = resolve(value, schema)?;
    let list: Vec<Resolved<'_>> = list.iter().map(|item| resolve(item, schema)).collect::<Compiled<_>>()?;
    if value.what.is_literal() {
        return fault(value.span, "expected a field before `in`");
    }
    if let Some(item) = list.iter().find(|item| !item.what.is_literal()) {
        return fault(item.span, "expected a text in quotes or a number");
    }
    if let Value::Time(field) = value.what {
        let times = list.iter().map(literal_time).collect::<Compiled<_>>()?;
        return Ok(Check::TimeIn { field, list: times });
    }
    let numeric =
        matches!(value.what, Value::Number(_)) || list.iter().any(|item| matches!(item.what, Value::NumberLiteral(_)));
    if numeric {
        let numbers = list.iter().map(literal_number).collect::<Compiled<_>>()?;
        return Ok(Check::NumberIn { value: number(&value)?, list: numbers });
    }
    let mut texts: Vec<Box<[u8]>> = list
        .iter()
        .filter_map(|item| match item.what {
            Value::TextLiteral(text) => Some(text.as_bytes().into()),
            Value::Text(_) | Value::Number(_) | Value::Time(_) | Value::NumberLiteral(_) => None,
        })
        .collect();
    texts.sort_unstable();
    Ok(Check::TextIn { value: text(&value)?, list: texts })
}

fn text(operand: &Resolved<'_>) -> Compiled<TextValue> {
    match &operand.what {
        Value::TextLiteral(text) => Ok(TextValue::Literal(text.as_bytes().into())),
        Value::Text(source) => Ok(TextValue::Field(source.clone())),
        Value::Number(_) | Value::Time(_) | Value::NumberLiteral(_) => fault(operand.span, "expected a text"),
    }
}

fn number(operand: &Resolved<'_>) -> Compiled<NumberValue> {
    match &operand.what {
        Value::Text(source) | Value::Number(source) => Ok(NumberValue::Field(source.clone())),
        Value::TextLiteral(_) | Value::NumberLiteral(_) => literal_number(operand).map(NumberValue::Literal),
        Value::Time(_) => fault(operand.span, "a time is not a number"),
    }
}

fn literal_number(operand: &Resolved<'_>) -> Compiled<Decimal> {
    match operand.what {
        Value::NumberLiteral(number) => Ok(number),
        Value::TextLiteral(text) => Decimal::parse(text.as_bytes())
            .or_else(|_| fault(operand.span, "expected a number, because it is compared with one")),
        Value::Text(_) | Value::Number(_) | Value::Time(_) => fault(operand.span, "expected a number"),
    }
}

fn time(operand: &Resolved<'_>) -> Compiled<TimeValue> {
    match operand.what {
        Value::Time(field) => Ok(TimeValue::Field(field)),
        Value::TextLiteral(_) | Value::NumberLiteral(_) | Value::Text(_) | Value::Number(_) => {
            literal_time(operand).map(TimeValue::Literal)
        }
    }
}

fn literal_time(operand: &Resolved<'_>) -> Compiled<UtcTime> {
    let message = "a time is compared with a time such as \"2026-03-14T00:00:00+08:00\"";
    let Value::TextLiteral(text) = operand.what else { return fault(operand.span, message) };
    let layout =
        TimeLayout::compile("rfc3339").map_err(|message| ExpressionFault::new(operand.span.clone(), message))?;
    layout.parse(text.as_bytes(), Zone::UTC, Ambiguous::Reject).or_else(|_| fault(operand.span, message))
}
