//! `#[derive(Tree)]`: a struct as a tree of arrays. Knows of the library only the paths that the
//! generated code names, all below `::rondeau::tree`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Generics, Index, Member, Result, parse_quote};

/// Makes a struct a tree of arrays, so that it can be an argument or result of a transformed
/// function.
///
/// Each field is a tree itself, or is marked `#[tree(fixed)]`: then it is cloned where a tree is
/// rebuilt, and its `Debug` text is part of the tree's structure. The struct must be `Clone`.
/// Type parameters that occur in fields not fixed are bound by `Tree`.
///
/// ```text
/// #[derive(Clone, Tree)]
/// struct Dense {
///     weight: Array,
///     bias: Option<Array>,
///     #[tree(fixed)]
///     name: String,
/// }
/// ```
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// One field and what the methods do with it.
struct Part<'a> {
    field: &'a Field,
    member: Member,
    fixed: bool,
}

impl Part<'_> {
    fn new(i: usize, field: &Field) -> Result<Part<'_>> {
        let member = match &field.ident {
            Some(name) => Member::Named(name.clone()),
            None => Member::Unnamed(Index::from(i)),
        };
        Ok(Part { field, member, fixed: is_fixed(field)? })
    }

    /// The field's type, where errors about it are shown.
    fn span(&self) -> Span {
        // Names resolve as in the rest of the generated code, also where a macro wrote the struct.
        self.field.ty.span().resolved_at(Span::call_site())
    }

    /// The segment of the path: a name or a position.
    fn segment(&self) -> TokenStream {
        match &self.member {
            Member::Named(name) => name.unraw().to_string().into_token_stream(),
            Member::Unnamed(index) => (index.index as usize).into_token_stream(),
        }
    }

    fn visit(&self) -> TokenStream {
        let (member, segment) = (&self.member, self.segment());
        if self.fixed {
            return TokenStream::new();
        }
        quote_spanned! {self.span()=>
            path.push(#segment);
            ::rondeau::tree::Tree::visit(&self.#member, path, visit);
            path.pop();
        }
    }

    fn map(&self) -> TokenStream {
        let (member, segment) = (&self.member, self.segment());
        if self.fixed {
            return quote_spanned! {self.span()=>
                #member: ::core::clone::Clone::clone(&self.#member),
            };
        }
        quote_spanned! {self.span()=>
            #member: {
                path.push(#segment);
                let field = ::rondeau::tree::Tree::map(&self.#member, path, f);
                path.pop();
                field
            },
        }
    }

    fn each(&self) -> TokenStream {
        let member = &self.member;
        if self.fixed {
            return TokenStream::new();
        }
        quote_spanned! {self.span()=>
            ::rondeau::tree::Tree::each(&self.#member, visit);
        }
    }

    fn each_mut(&self) -> TokenStream {
        let member = &self.member;
        if self.fixed {
            return TokenStream::new();
        }
        quote_spanned! {self.span()=>
            ::rondeau::tree::Tree::each_mut(&mut self.#member, f);
        }
    }

    fn variant(&self) -> TokenStream {
        let member = &self.member;
        if self.fixed {
            // The separator is not what people write into names.
            return quote_spanned! {self.span()=>
                out.write_fmt(::core::format_args!("{:?}\u{1f}", &self.#member))?;
            };
        }
        quote_spanned! {self.span()=>
            ::rondeau::tree::Tree::variant(&self.#member, out)?;
        }
    }

    fn structure(&self) -> TokenStream {
        let member = &self.member;
        if self.fixed {
            return quote_spanned! {self.span()=>
                out.write_fmt(::core::format_args!("{:?}", &self.#member))?;
            };
        }
        quote_spanned! {self.span()=>
            ::rondeau::tree::Tree::structure(&self.#member, out)?;
        }
    }
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(attr) = input.attrs.iter().find(|attr| attr.path().is_ident("tree")) {
        return Err(Error::new_spanned(
            attr,
            "`#[tree(..)]` belongs on a field, not on the struct",
        ));
    }
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => return Err(refuse(data.enum_token.span, "an enum", ENUM_HELP)),
        Data::Union(data) => return Err(refuse(data.union_token.span, "a union", UNION_HELP)),
    };
    let parts = fields.iter().enumerate();
    let parts: Vec<Part<'_>> =
        parts.map(|(i, field)| Part::new(i, field)).collect::<Result<_>>()?;

    let name = &input.ident;
    let visits = parts.iter().map(Part::visit);
    let maps = parts.iter().map(Part::map);
    let leaves = parts.iter().map(Part::each);
    let leaves_mut = parts.iter().map(Part::each_mut);
    let variants = parts.iter().map(Part::variant);
    let structure = structure_body(&name.unraw().to_string(), fields, &parts);
    let generics = bound_generics(&input.generics, &parts);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_variables)]
        impl #impl_generics ::rondeau::tree::Tree for #name #ty_generics #where_clause {
            fn visit<'__tree>(
                &'__tree self,
                path: &mut ::rondeau::tree::Path,
                visit: &mut dyn ::core::ops::FnMut(
                    &::rondeau::tree::Path,
                    &'__tree ::rondeau::Array,
                ),
            ) {
                #(#visits)*
            }

            fn map(
                &self,
                path: &mut ::rondeau::tree::Path,
                f: &mut dyn ::core::ops::FnMut(
                    &::rondeau::tree::Path,
                    &::rondeau::Array,
                ) -> ::rondeau::Array,
            ) -> Self {
                Self { #(#maps)* }
            }

            fn structure(&self, out: &mut dyn ::core::fmt::Write) -> ::core::fmt::Result {
                #structure
                ::core::result::Result::Ok(())
            }

            fn each<'__tree>(
                &'__tree self,
                visit: &mut dyn ::core::ops::FnMut(&'__tree ::rondeau::Array),
            ) {
                #(#leaves)*
            }

            fn each_mut(
                &mut self,
                f: &mut dyn ::core::ops::FnMut(&mut ::rondeau::Array),
            ) {
                #(#leaves_mut)*
            }

            fn variant(&self, out: &mut dyn ::core::fmt::Write) -> ::core::fmt::Result {
                #(#variants)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

const ENUM_HELP: &str = "a program is traced for one structure, and a variant would change it between \
                         calls; use a struct with `Option` fields, or derive `Tree` for the struct \
                         that each variant holds and choose the variant outside";
const UNION_HELP: &str = "its fields share memory, so they cannot be leaves; use a struct";

fn refuse(span: Span, what: &str, help: &str) -> Error {
    Error::new(span, format!("`Tree` cannot be derived for {what}: {help}"))
}

/// Whether the field is marked `#[tree(fixed)]`.
fn is_fixed(field: &Field) -> Result<bool> {
    let mut fixed = false;
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("tree")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("fixed") {
                return Err(meta.error("expected `fixed`, as in `#[tree(fixed)]`"));
            }
            fixed = true;
            Ok(())
        })?;
        if !fixed {
            return Err(Error::new_spanned(attr, "expected `fixed`, as in `#[tree(fixed)]`"));
        }
    }
    Ok(fixed)
}

/// Writes `Name { a: *, b: 4 }`, `Name(*, *)` or `Name`.
fn structure_body(name: &str, fields: &Fields, parts: &[Part<'_>]) -> TokenStream {
    let (open, close) = match fields {
        Fields::Named(_) if parts.is_empty() => (" {", "}"),
        Fields::Named(_) => (" { ", " }"),
        Fields::Unnamed(_) => ("(", ")"),
        Fields::Unit => ("", ""),
    };
    let mut body = TokenStream::new();
    let mut text = format!("{name}{open}");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        if let Member::Named(name) = &part.member {
            text.push_str(&format!("{}: ", name.unraw()));
        }
        let field = part.structure();
        body.extend(quote! { out.write_str(#text)?; #field });
        text.clear();
    }
    text.push_str(close);
    body.extend(quote! { out.write_str(#text)?; });
    body
}

/// The struct's generics with the bounds that the fields need.
fn bound_generics(generics: &Generics, parts: &[Part<'_>]) -> Generics {
    let mut bound = generics.clone();
    if generics.type_params().next().is_none() {
        return bound;
    }
    let in_tree = |name: &syn::Ident| {
        parts.iter().any(|part| !part.fixed && mentions(part.field.ty.to_token_stream(), name))
    };
    for param in bound.type_params_mut() {
        if in_tree(&param.ident) {
            param.bounds.push(parse_quote!(::rondeau::tree::Tree));
        }
    }
    // `derive(Clone)` bounds every parameter by `Clone`, also those that only fixed fields have.
    let predicates = &mut bound.make_where_clause().predicates;
    predicates.push(parse_quote!(Self: ::core::clone::Clone));
    for part in parts.iter().filter(|part| part.fixed) {
        let ty = &part.field.ty;
        if generics.type_params().any(|param| mentions(ty.to_token_stream(), &param.ident)) {
            predicates.push(parse_quote!(#ty: ::core::clone::Clone + ::core::fmt::Debug));
        }
    }
    bound
}

/// Whether the tokens of a type name this parameter.
fn mentions(tokens: TokenStream, name: &syn::Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of the mistake in `source`.
    fn refusal(source: &str) -> String {
        let input = syn::parse_str(source).expect("the source is an item");
        expand(&input).expect_err("the item is refused").to_string()
    }

    fn generated(source: &str) -> String {
        let input = syn::parse_str(source).expect("the source is an item");
        expand(&input).expect("the item is a tree").to_string()
    }

    #[test]
    fn enums_and_unions_are_refused_with_a_way_out() {
        let message = refusal("enum Cell { Gru(Array), Lstm(Array, Array) }");
        assert!(message.starts_with("`Tree` cannot be derived for an enum: "), "{message}");
        assert!(message.contains("use a struct with `Option` fields"), "{message}");
        let message = refusal("union Bits { x: Array }");
        assert!(message.starts_with("`Tree` cannot be derived for a union: "), "{message}");
    }

    #[test]
    fn attributes_other_than_fixed_are_refused() {
        let expected = "expected `fixed`, as in `#[tree(fixed)]`";
        assert_eq!(refusal("struct S { #[tree(static)] n: usize }"), expected);
        assert_eq!(refusal("struct S { #[tree()] n: usize }"), expected);
        assert_eq!(
            refusal("#[tree(fixed)] struct S { n: usize }"),
            "`#[tree(..)]` belongs on a field, not on the struct"
        );
    }

    #[test]
    fn only_parameters_of_trees_are_bound() {
        let code = generated("struct S<A, B> { a: Vec<A>, #[tree(fixed)] b: B }");
        assert!(code.contains("A : :: rondeau :: tree :: Tree"), "{code}");
        assert!(!code.contains("B : :: rondeau :: tree :: Tree"), "{code}");
        assert!(code.contains("B : :: core :: clone :: Clone + :: core :: fmt :: Debug"), "{code}");
    }
}
