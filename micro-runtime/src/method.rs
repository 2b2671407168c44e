//! What is known about a method and a service before any call: names, kind, schema.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

/// Which sides of a method stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One request, one reply.
    Unary,
    /// One request, any number of replies.
    ServerStream,
    /// Any number of requests, one reply.
    ClientStream,
    /// Any number of both, in any order.
    Bidi,
}

impl Kind {
    /// Whether any side streams.
    pub const fn is_stream(self) -> bool {
        !matches!(self, Self::Unary)
    }
}

/// What a `.proto` says about calling a method twice (`option idempotency_level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Nothing: never sent again once it may have been processed.
    #[default]
    Unknown,
    /// The same result when called again.
    Idempotent,
    /// Changes nothing; also fit for GET.
    NoSideEffects,
}

impl Idempotency {
    /// Whether a call that may have been processed may be sent again.
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

/// One method of a service: a constant in generated code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// The proto package, empty where there is none: `go.micro.srv.greeter`.
    pub package: Cow<'static, str>,
    /// Go Micro's endpoint, service without package, a dot, method: `Say.Hello`.
    pub endpoint: Cow<'static, str>,
    /// gRPC's path: `/go.micro.srv.greeter.Say/Hello`.
    pub path: Cow<'static, str>,
    /// Which sides stream.
    pub kind: Kind,
    /// Whether it may be called twice.
    pub idempotency: Idempotency,
    /// Its place among its service's methods.
    pub index: u16,
}

impl Method {
    /// A method as generated code declares it.
    pub const fn new(
        package: &'static str,
        endpoint: &'static str,
        path: &'static str,
        kind: Kind,
        idempotency: Idempotency,
        index: u16,
    ) -> Self {
        Self {
            package: Cow::Borrowed(package),
            endpoint: Cow::Borrowed(endpoint),
            path: Cow::Borrowed(path),
            kind,
            idempotency,
            index,
        }
    }

    /// A method known only by its endpoint (`Greeter.Hello`), for calls without generated code.
    pub fn dynamic(endpoint: impl Into<String>, kind: Kind) -> Self {
        let endpoint = endpoint.into();
        let path = match endpoint.strip_prefix('/') {
            Some(_) => endpoint.clone(),
            None => match endpoint.rsplit_once('.') {
                Some((service, method)) => format!("/{service}/{method}"),
                None => format!("/{endpoint}"),
            },
        };
        Self {
            package: Cow::Borrowed(""),
            endpoint: endpoint.into(),
            path: path.into(),
            kind,
            idempotency: Idempotency::Unknown,
            index: 0,
        }
    }

    /// The method's own name: `Hello`.
    pub fn name(&self) -> &str {
        self.endpoint
            .rsplit_once('.')
            .map_or(&*self.endpoint, |(_, name)| name)
    }

    /// The name of its service without package: `Say`.
    pub fn service(&self) -> &str {
        self.endpoint
            .rsplit_once('.')
            .map_or("", |(service, _)| service)
    }
}

/// A [`Method`] that is a constant of generated code or was named at run time; cheap to clone.
#[derive(Clone, Debug)]
pub enum MethodRef {
    /// A constant.
    Static(&'static Method),
    /// Named at run time.
    Shared(Arc<Method>),
}

impl MethodRef {
    /// The method as one of this kind.
    pub(crate) fn of_kind(self, kind: Kind) -> Self {
        if self.kind == kind {
            return self;
        }
        Self::from(Method {
            kind,
            ..Method::clone(&self)
        })
    }
}

impl Deref for MethodRef {
    type Target = Method;
    fn deref(&self) -> &Method {
        match self {
            Self::Static(method) => method,
            Self::Shared(method) => method,
        }
    }
}

impl From<&'static Method> for MethodRef {
    fn from(method: &'static Method) -> Self {
        Self::Static(method)
    }
}

impl From<&str> for MethodRef {
    /// A method known only by its endpoint, `Say.Hello`; whoever calls it says its kind.
    fn from(endpoint: &str) -> Self {
        Method::dynamic(endpoint, Kind::Unary).into()
    }
}

impl From<Method> for MethodRef {
    fn from(method: Method) -> Self {
        Self::Shared(Arc::new(method))
    }
}

/// A service as its `.proto` declares it: a constant in generated code.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// Without package: `Say`.
    pub name: &'static str,
    /// With package: `go.micro.srv.greeter.Say`.
    pub full_name: &'static str,
    /// Its methods; a method's `index` is its place here.
    pub methods: &'static [Method],
    /// Its endpoints as Go Micro registers them, in the order of `methods`.
    pub endpoints: &'static [EndpointDescriptor],
    /// The `FileDescriptorSet` of its file and all imports, as compiled: custom options included.
    pub file_descriptor_set: &'static [u8],
}

impl ServiceDescriptor {
    /// A service as generated code declares it.
    pub const fn new(
        name: &'static str,
        full_name: &'static str,
        methods: &'static [Method],
        endpoints: &'static [EndpointDescriptor],
        file_descriptor_set: &'static [u8],
    ) -> Self {
        Self {
            name,
            full_name,
            methods,
            endpoints,
            file_descriptor_set,
        }
    }
}

/// An endpoint as Go Micro's registry holds it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointDescriptor {
    /// `Say.Hello`.
    pub name: &'static str,
    /// The tree of the request's fields.
    pub request: ValueDescriptor,
    /// The tree of the reply's fields.
    pub response: ValueDescriptor,
    /// `stream=true` on streams; the keys that `google.api.http` brings.
    pub metadata: &'static [(&'static str, &'static str)],
}

impl EndpointDescriptor {
    /// An endpoint as generated code declares it.
    pub const fn new(
        name: &'static str,
        request: ValueDescriptor,
        response: ValueDescriptor,
        metadata: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            name,
            request,
            response,
            metadata,
        }
    }
}

/// A node of the tree that describes a message in the registry.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueDescriptor {
    /// The field's name as Go Micro registers it; of the root, the message's.
    pub name: &'static str,
    /// Its Go type.
    pub kind: &'static str,
    /// Its fields.
    pub values: &'static [ValueDescriptor],
}

impl ValueDescriptor {
    /// A node as generated code declares it.
    pub const fn new(
        name: &'static str,
        kind: &'static str,
        values: &'static [ValueDescriptor],
    ) -> Self {
        Self { name, kind, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_method_finds_its_path() {
        let method = Method::dynamic("Greeter.Hello", Kind::Unary);
        assert_eq!(
            (method.service(), method.name(), &*method.path),
            ("Greeter", "Hello", "/Greeter/Hello")
        );
        assert_eq!(Method::dynamic("/a.B/C", Kind::Unary).path, "/a.B/C");
        assert_eq!(Method::dynamic("Hello", Kind::Unary).name(), "Hello");
    }
}
