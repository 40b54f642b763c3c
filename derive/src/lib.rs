//! `#[derive(Item)]` for prodcon. Use it through `prodcon`, which documents and re-exports it.
//!
//! The macro has no dependencies. It reads the struct from its tokens and writes the
//! implementations of `Zeroable`, `Pod` and `Item` together with the checks that make them sound:
//! the layout is fixed (`repr(C)` or `repr(transparent)`), there are no generics, every field is
//! `Pod`, and the fields fill the struct without padding. The checks run when the user's crate is
//! compiled.

#![forbid(unsafe_code)]

mod parse;

use parse::{Field, Struct};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a plain struct usable as an item of a queue.
///
/// See `prodcon::Item` for an example. Attributes: `#[item(name = "..")]` gives the type the name
/// under which other programs know it (the default is the struct's own name), and
/// `#[item(crate = "..")]` names the path of a re-exported `prodcon`.
#[proc_macro_derive(Item, attributes(item))]
pub fn derive_item(input: TokenStream) -> TokenStream {
    match parse::read(input) {
        Ok(item) => implementation(&item),
        Err(error) => error.into_compile_error(),
    }
}

/// Source text with holes: `$T` the struct, `$P` the path of prodcon, `$N` the type's name.
/// Everything but the holes has the macro's own span, so that lints treat it as foreign code.
fn fill(template: &str, item: &Struct) -> TokenStream {
    let text = template
        .replace("$P", &item.path)
        .replace("$N", &format!("{:?}", item.type_name));
    let tokens: TokenStream = text.parse().expect("the templates below are Rust");
    put_name(tokens, item)
}

/// Puts the struct's identifier, with its own span, in the place of `__Item`.
fn put_name(tokens: TokenStream, item: &Struct) -> TokenStream {
    let place = |token: TokenTree| match token {
        TokenTree::Ident(ident) if ident.to_string() == "__Item" => {
            TokenTree::Ident(item.name.clone())
        }
        TokenTree::Group(group) => {
            let mut filled = Group::new(group.delimiter(), put_name(group.stream(), item));
            filled.set_span(group.span());
            TokenTree::Group(filled)
        }
        other => other,
    };
    tokens.into_iter().map(place).collect()
}

fn implementation(item: &Struct) -> TokenStream {
    let mut out = TokenStream::new();
    out.extend(checks(item));
    out.extend(fill(
        "#[automatically_derived]
        // SAFETY: Pod is implemented below, and every Pod type has a zeroed value.
        unsafe impl $P::bytemuck::Zeroable for __Item {}
        #[automatically_derived]
        // SAFETY: the layout is fixed by `repr`; the constants above prove that every field is Pod and that
        // there is no padding; there are no generics; Copy is a supertrait that the compiler checks.
        unsafe impl $P::bytemuck::Pod for __Item {}",
        item,
    ));
    let mut body = fill(
        "fn type_name() -> ::std::borrow::Cow<'static, str> {
            ::std::borrow::Cow::Borrowed($N)
        }",
        item,
    );
    body.extend(layout(item));
    out.extend(fill(
        "#[automatically_derived] impl $P::Item for __Item",
        item,
    ));
    out.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    out
}

/// A constant that does not compile unless the fields are plain and fill the struct.
fn checks(item: &Struct) -> TokenStream {
    let mut body = fill(
        "const fn every_field_must_be_plain_data<T: $P::bytemuck::Pod>() {}",
        item,
    );
    let mut sum: TokenStream = "0usize".parse().expect("a literal");
    for Field { ty, .. } in &item.fields {
        // every_field_must_be_plain_data::<TYPE>();
        body.extend(call("every_field_must_be_plain_data", ty));
        body.extend("();".parse::<TokenStream>());
        sum.extend("+ ::core::mem::".parse::<TokenStream>());
        sum.extend(call("size_of", ty));
        sum.extend("()".parse::<TokenStream>());
    }
    body.extend(as_compiled(item));
    let text = format!(
        "prodcon: `{}` has padding between or after its fields: reorder them from the largest \
         alignment to the smallest, or fill the gaps with fields such as `_padding: [u8; 4]`",
        item.name
    );
    let mut claim = fill("::core::mem::size_of::<__Item>() ==", item);
    claim.extend(sum);
    claim.extend([
        TokenTree::Punct(Punct::new(',', Spacing::Alone)),
        TokenTree::Literal(Literal::string(&text)),
    ]);
    body.extend("::core::assert!".parse::<TokenStream>());
    body.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, claim))]);
    body.extend(";".parse::<TokenStream>());
    let mut out: TokenStream = "const _: () =".parse().expect("Rust");
    out.extend([
        TokenTree::Group(Group::new(Delimiter::Brace, body)),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ]);
    out
}

/// The fields that the struct has when it is compiled, which an attribute below the derive may have
/// changed: a pattern that names all of them, each with its type.
fn as_compiled(item: &Struct) -> TokenStream {
    let (mut pattern, mut uses) = (TokenStream::new(), TokenStream::new());
    for (number, Field { name, ty, .. }) in item.fields.iter().enumerate() {
        let place = TokenTree::Ident(Ident::new(&format!("field{number}"), Span::mixed_site()));
        let punct = |c| TokenTree::Punct(Punct::new(c, Spacing::Alone));
        pattern.extend([name.clone(), punct(':'), place.clone(), punct(',')]);
        uses.extend("let _ :".parse::<TokenStream>());
        uses.extend(ty.clone());
        uses.extend([punct('='), place, punct(';')]);
    }
    let mut body: TokenStream = "let".parse().expect("Rust");
    body.extend(fill("__Item", item));
    body.extend([TokenTree::Group(Group::new(Delimiter::Brace, pattern))]);
    body.extend("= item;".parse::<TokenStream>());
    body.extend(uses);
    let mut out = fill(
        "#[allow(dead_code)] fn fields_are_as_they_were_read(item: __Item)",
        item,
    );
    out.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    out
}

/// `name::<TYPE>`, with the type's own spans, so that errors point at the field.
fn call(name: &str, ty: &TokenStream) -> TokenStream {
    let mut out: TokenStream = [TokenTree::Ident(Ident::new(name, Span::call_site()))]
        .into_iter()
        .collect();
    out.extend("::<".parse::<TokenStream>());
    out.extend(ty.clone());
    out.extend(">".parse::<TokenStream>());
    out
}

/// `fn layout()`: the fingerprint of names, offsets and sizes.
fn layout(item: &Struct) -> TokenStream {
    let mut rows = TokenStream::new();
    for Field { name, shown, ty } in &item.fields {
        let mut row = TokenStream::new();
        row.extend([
            TokenTree::Literal(Literal::string(shown)),
            TokenTree::Punct(Punct::new(',', Spacing::Alone)),
        ]);
        row.extend(fill("::core::mem::offset_of!", item));
        let mut place = fill("__Item ,", item);
        place.extend([name.clone()]);
        row.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, place))]);
        row.extend(", ::core::mem::".parse::<TokenStream>());
        row.extend(call("size_of", ty));
        row.extend("()".parse::<TokenStream>());
        rows.extend([
            TokenTree::Group(Group::new(Delimiter::Parenthesis, row)),
            TokenTree::Punct(Punct::new(',', Spacing::Alone)),
        ]);
    }
    let mut body = fill("const LAYOUT: u64 = $P::item_layout", item);
    let mut argument: TokenStream = "&".parse().expect("Rust");
    argument.extend([TokenTree::Group(Group::new(Delimiter::Bracket, rows))]);
    body.extend([TokenTree::Group(Group::new(
        Delimiter::Parenthesis,
        argument,
    ))]);
    body.extend("; LAYOUT".parse::<TokenStream>());
    let mut out: TokenStream = "fn layout() -> u64".parse().expect("Rust");
    out.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    out
}
