//! Reads a struct from its tokens. What it does not understand it refuses with a sentence.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use std::iter::Peekable;

/// What the macro needs to know of a struct.
pub(crate) struct Struct {
    pub(crate) name: Ident,
    /// The name under which other programs know the type.
    pub(crate) type_name: String,
    /// Path of prodcon.
    pub(crate) path: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    /// The identifier, or the number of a tuple's field.
    pub(crate) name: TokenTree,
    pub(crate) shown: String,
    pub(crate) ty: TokenStream,
}

/// A refusal, at the place that it is about.
pub(crate) struct Refused {
    text: String,
    span: Span,
}

impl Refused {
    fn new(span: Span, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            span,
        }
    }

    pub(crate) fn into_compile_error(self) -> TokenStream {
        let spanned = |mut token: TokenTree| {
            token.set_span(self.span);
            token
        };
        let text = TokenTree::Literal(Literal::string(&format!("prodcon: {}", self.text)));
        let argument = Group::new(
            Delimiter::Parenthesis,
            [spanned(text)].into_iter().collect(),
        );
        let tokens = [
            TokenTree::Punct(Punct::new(':', Spacing::Joint)),
            TokenTree::Punct(Punct::new(':', Spacing::Alone)),
            TokenTree::Ident(Ident::new("core", self.span)),
            TokenTree::Punct(Punct::new(':', Spacing::Joint)),
            TokenTree::Punct(Punct::new(':', Spacing::Alone)),
            TokenTree::Ident(Ident::new("compile_error", self.span)),
            TokenTree::Punct(Punct::new('!', Spacing::Alone)),
            TokenTree::Group(argument),
            TokenTree::Punct(Punct::new(';', Spacing::Alone)),
        ];
        tokens.into_iter().map(spanned).collect()
    }
}

type Tokens = Peekable<proc_macro::token_stream::IntoIter>;

/// What the attributes say.
#[derive(Default)]
struct Attributes {
    fixed_layout: bool,
    name: Option<String>,
    path: Option<String>,
}

pub(crate) fn read(input: TokenStream) -> Result<Struct, Refused> {
    let mut tokens = input.into_iter().peekable();
    let mut attributes = Attributes::default();
    while let Some(group) = attribute(&mut tokens) {
        attributes.read(&group)?;
    }
    skip_visibility(&mut tokens);
    match tokens.next() {
        Some(TokenTree::Ident(word)) if word.to_string() == "struct" => {}
        Some(TokenTree::Ident(word)) => {
            return Err(Refused::new(
                word.span(),
                format!(
                    "an item must be a struct, not {} {word}: not every bit pattern would be a value",
                    article(&word)
                ),
            ));
        }
        _ => return Err(Refused::new(Span::call_site(), "an item must be a struct")),
    }
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        return Err(Refused::new(Span::call_site(), "a struct needs a name"));
    };
    let fields = match tokens.next() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == '<' => {
            return Err(Refused::new(
                punct.span(),
                format!(
                    "`{name}` has generic parameters: an item must be one type with one layout"
                ),
            ));
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            fields(group.stream(), true)?
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            fields(group.stream(), false)?
        }
        None => vec![],
        Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => vec![],
        Some(other) => {
            return Err(Refused::new(
                other.span(),
                format!("`{name}` has a where clause: an item needs none"),
            ));
        }
    };
    if !attributes.fixed_layout {
        return Err(Refused::new(
            name.span(),
            format!(
                "`{name}` needs `#[repr(C)]` (or `#[repr(transparent)]`): without it each program may lay its fields out differently"
            ),
        ));
    }
    Ok(Struct {
        type_name: attributes.name.unwrap_or_else(|| name.to_string()),
        path: attributes.path.unwrap_or_else(|| "::prodcon".into()),
        name,
        fields,
    })
}

fn article(word: &Ident) -> &'static str {
    if word.to_string().starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    }
}

/// The bracketed part of the next attribute.
fn attribute(tokens: &mut Tokens) -> Option<Group> {
    tokens.next_if(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#'))?;
    match tokens.next() {
        Some(TokenTree::Group(group)) => Some(group),
        _ => None,
    }
}

fn skip_visibility(tokens: &mut Tokens) {
    // What a `macro_rules` put in the place of a `$vis` is one group without delimiters.
    let whole = |token: &TokenTree| {
        let TokenTree::Group(group) = token else {
            return false;
        };
        let first = group.stream().into_iter().next();
        group.delimiter() == Delimiter::None && first.is_none_or(|first| first.to_string() == "pub")
    };
    if tokens.next_if(whole).is_some() {
        return;
    }
    let public =
        |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "pub");
    if tokens.next_if(public).is_none() {
        return;
    }
    // `pub (crate)`, but not the tuple of `pub (u32, u32)`.
    let scope = |token: &TokenTree| {
        let TokenTree::Group(group) = token else {
            return false;
        };
        let first = group.stream().into_iter().next();
        group.delimiter() == Delimiter::Parenthesis
            && matches!(first, Some(TokenTree::Ident(word)) if ["crate", "self", "super", "in"].contains(&word.to_string().as_str()))
    };
    let _ = tokens.next_if(scope);
}

impl Attributes {
    fn read(&mut self, bracketed: &Group) -> Result<(), Refused> {
        let mut tokens = bracketed.stream().into_iter();
        let (Some(TokenTree::Ident(word)), Some(TokenTree::Group(arguments))) =
            (tokens.next(), tokens.next())
        else {
            return Ok(());
        };
        match word.to_string().as_str() {
            "repr" => {
                let fixed = |token: TokenTree| matches!(token, TokenTree::Ident(word) if ["C", "transparent"].contains(&word.to_string().as_str()));
                self.fixed_layout |= arguments.stream().into_iter().any(fixed);
                Ok(())
            }
            "item" => self.read_item(arguments.stream()),
            _ => Ok(()),
        }
    }

    /// `name = "..", crate = ".."`
    fn read_item(&mut self, arguments: TokenStream) -> Result<(), Refused> {
        let mut tokens = arguments.into_iter().peekable();
        while let Some(key) = tokens.next() {
            let expected = |found: &TokenTree| {
                Refused::new(
                    found.span(),
                    "expected #[item(name = \"..\")] or #[item(crate = \"..\")]",
                )
            };
            let (Some(_), Some(value)) = (
                tokens.next_if(
                    |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '='),
                ),
                tokens.next(),
            ) else {
                return Err(expected(&key));
            };
            let Some(text) = string(&value) else {
                return Err(expected(&value));
            };
            match key.to_string().as_str() {
                "name" if (1..=128).contains(&text.len()) => self.name = Some(text),
                "name" => {
                    return Err(Refused::new(
                        value.span(),
                        format!("a type name of {} bytes: choose 1 to 128", text.len()),
                    ));
                }
                "crate"
                    if text
                        .parse::<TokenStream>()
                        .is_ok_and(|path| !path.is_empty()) =>
                {
                    self.path = Some(text)
                }
                _ => return Err(expected(&key)),
            }
            let _ = tokens.next_if(
                |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','),
            );
        }
        Ok(())
    }
}

/// The text of a plain string literal.
fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let text = literal.to_string();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then(|| inner.to_owned())
}

fn fields(stream: TokenStream, named: bool) -> Result<Vec<Field>, Refused> {
    let mut tokens = stream.into_iter().peekable();
    let mut fields = vec![];
    while tokens.peek().is_some() {
        while attribute(&mut tokens).is_some() {}
        skip_visibility(&mut tokens);
        let name = if named {
            let name = tokens
                .next()
                .ok_or_else(|| Refused::new(Span::call_site(), "a field needs a name"))?;
            let _colon = tokens.next();
            name
        } else {
            TokenTree::Literal(Literal::usize_unsuffixed(fields.len()))
        };
        let ty = field_type(&mut tokens);
        refuse_known(&ty)?;
        fields.push(Field {
            shown: name.to_string(),
            name,
            ty,
        });
    }
    Ok(fields)
}

/// The tokens up to the next comma outside of angle brackets.
fn field_type(tokens: &mut Tokens) -> TokenStream {
    let (mut ty, mut depth, mut arrow) = (vec![], 0usize, false);
    for token in tokens.by_ref() {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                ',' if depth == 0 => break,
                '<' => depth += 1,
                '>' if !arrow => depth = depth.saturating_sub(1),
                _ => {}
            }
            arrow = punct.as_char() == '-';
        } else {
            arrow = false;
        }
        ty.push(token);
    }
    ty.into_iter().collect()
}

/// What people try first gets a sentence of its own; everything else is refused by the bound on `Pod`.
fn refuse_known(ty: &TokenStream) -> Result<(), Refused> {
    let Some(first) = ty.clone().into_iter().next() else {
        return Ok(());
    };
    let why = match first.to_string().as_str() {
        "bool" => "`bool` is not plain data, because only 0 and 1 are values of it: use `u8`",
        "char" => "`char` is not plain data, because not every number is a character: use `u32`",
        "String" | "Vec" | "Box" | "Option" | "Rc" | "Arc" | "&" | "*" => {
            "a field that points to memory of this process means nothing in another one: use numbers and arrays, or a queue of bytes"
        }
        _ => return Ok(()),
    };
    Err(Refused::new(first.span(), why))
}
