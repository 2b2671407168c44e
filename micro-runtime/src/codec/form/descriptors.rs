//! The messages that describe messages (`descriptor.proto`, `type.proto`, `api.proto`), as forms: a
//! user's message may hold one.

use super::{Enum, Enumeration, Field, Fields, Form, Meaning, Shape};

macro_rules! enums {
    ($($($path:ident)::+, $name:literal $(, $closed:ident)?;)*) => {$(
        impl Enumeration for prost_types::$($path)::+ {
            const ENUM: Enum = Enum::new(
                $name,
                |number| Self::try_from(number).ok().map(|value| value.as_str_name()),
                |name| Self::from_str_name(name).map(i32::from),
            )$(.$closed())?;
        }
    )*};
}

macro_rules! messages {
    ($($($path:ident)::+, $message:literal {
        $($field:ident $name:literal $json:literal $($explicit:ident)? $(: $($enum:ident)::+)?;)*
    })*) => {$(
        #[allow(deprecated, reason = "deprecated fields are fields")]
        impl Fields for prost_types::$($path)::+ {
            fn shape(&self) -> &'static Shape {
                static SHAPE: Shape = Shape::new(
                    $message,
                    &[$(
                        Field::new($name, $json)
                            $(.meaning(Meaning::Enum(&<prost_types::$($enum)::+>::ENUM)))?
                            $(.$explicit())?
                    ),*],
                    &[],
                );
                &SHAPE
            }

            // These are not met on a hot path: one line for each field is worth more.
            fn field(&self, index: usize) -> Option<&dyn Form> {
                let fields = [$(&self.$field as &dyn Form),*];
                fields.get(index).copied()
            }

            fn field_mut(&mut self, index: usize) -> Option<&mut dyn Form> {
                let fields = [$(&mut self.$field as &mut dyn Form),*];
                fields.into_iter().nth(index)
            }
        }

        crate::__payload!(prost_types::$($path)::+, form);
    )*};
}

enums! {
    Syntax, "google.protobuf.Syntax";
    field::Kind, "google.protobuf.Field.Kind";
    field::Cardinality, "google.protobuf.Field.Cardinality";
    field_descriptor_proto::Type, "google.protobuf.FieldDescriptorProto.Type", closed;
    field_descriptor_proto::Label, "google.protobuf.FieldDescriptorProto.Label", closed;
    file_options::OptimizeMode, "google.protobuf.FileOptions.OptimizeMode", closed;
    field_options::CType, "google.protobuf.FieldOptions.CType", closed;
    field_options::JsType, "google.protobuf.FieldOptions.JSType", closed;
    method_options::IdempotencyLevel, "google.protobuf.MethodOptions.IdempotencyLevel", closed;
    compiler::code_generator_response::Feature, "google.protobuf.compiler.CodeGeneratorResponse.Feature", closed;
}

messages! {
    SourceContext, "google.protobuf.SourceContext" {
        file_name "file_name" "fileName";
    }
    Type, "google.protobuf.Type" {
        name "name" "name";
        fields "fields" "fields";
        oneofs "oneofs" "oneofs";
        options "options" "options";
        source_context "source_context" "sourceContext";
        syntax "syntax" "syntax": Syntax;
    }
    Field, "google.protobuf.Field" {
        kind "kind" "kind": field::Kind;
        cardinality "cardinality" "cardinality": field::Cardinality;
        number "number" "number";
        name "name" "name";
        type_url "type_url" "typeUrl";
        oneof_index "oneof_index" "oneofIndex";
        packed "packed" "packed";
        options "options" "options";
        json_name "json_name" "jsonName";
        default_value "default_value" "defaultValue";
    }
    Enum, "google.protobuf.Enum" {
        name "name" "name";
        enumvalue "enumvalue" "enumvalue";
        options "options" "options";
        source_context "source_context" "sourceContext";
        syntax "syntax" "syntax": Syntax;
    }
    EnumValue, "google.protobuf.EnumValue" {
        name "name" "name";
        number "number" "number";
        options "options" "options";
    }
    Option, "google.protobuf.Option" {
        name "name" "name";
        value "value" "value";
    }
    Api, "google.protobuf.Api" {
        name "name" "name";
        methods "methods" "methods";
        options "options" "options";
        version "version" "version";
        source_context "source_context" "sourceContext";
        mixins "mixins" "mixins";
        syntax "syntax" "syntax": Syntax;
    }
    Method, "google.protobuf.Method" {
        name "name" "name";
        request_type_url "request_type_url" "requestTypeUrl";
        request_streaming "request_streaming" "requestStreaming";
        response_type_url "response_type_url" "responseTypeUrl";
        response_streaming "response_streaming" "responseStreaming";
        options "options" "options";
        syntax "syntax" "syntax": Syntax;
    }
    Mixin, "google.protobuf.Mixin" {
        name "name" "name";
        root "root" "root";
    }
    FileDescriptorSet, "google.protobuf.FileDescriptorSet" {
        file "file" "file";
    }
    FileDescriptorProto, "google.protobuf.FileDescriptorProto" {
        name "name" "name" explicit;
        package "package" "package" explicit;
        dependency "dependency" "dependency";
        public_dependency "public_dependency" "publicDependency";
        weak_dependency "weak_dependency" "weakDependency";
        message_type "message_type" "messageType";
        enum_type "enum_type" "enumType";
        service "service" "service";
        extension "extension" "extension";
        options "options" "options";
        source_code_info "source_code_info" "sourceCodeInfo";
        syntax "syntax" "syntax" explicit;
    }
    DescriptorProto, "google.protobuf.DescriptorProto" {
        name "name" "name" explicit;
        field "field" "field";
        extension "extension" "extension";
        nested_type "nested_type" "nestedType";
        enum_type "enum_type" "enumType";
        extension_range "extension_range" "extensionRange";
        oneof_decl "oneof_decl" "oneofDecl";
        options "options" "options";
        reserved_range "reserved_range" "reservedRange";
        reserved_name "reserved_name" "reservedName";
    }
    descriptor_proto::ExtensionRange, "google.protobuf.DescriptorProto.ExtensionRange" {
        start "start" "start" explicit;
        end "end" "end" explicit;
        options "options" "options";
    }
    descriptor_proto::ReservedRange, "google.protobuf.DescriptorProto.ReservedRange" {
        start "start" "start" explicit;
        end "end" "end" explicit;
    }
    ExtensionRangeOptions, "google.protobuf.ExtensionRangeOptions" {
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    FieldDescriptorProto, "google.protobuf.FieldDescriptorProto" {
        name "name" "name" explicit;
        number "number" "number" explicit;
        label "label" "label" explicit: field_descriptor_proto::Label;
        r#type "type" "type" explicit: field_descriptor_proto::Type;
        type_name "type_name" "typeName" explicit;
        extendee "extendee" "extendee" explicit;
        default_value "default_value" "defaultValue" explicit;
        oneof_index "oneof_index" "oneofIndex" explicit;
        json_name "json_name" "jsonName" explicit;
        options "options" "options";
        proto3_optional "proto3_optional" "proto3Optional" explicit;
    }
    OneofDescriptorProto, "google.protobuf.OneofDescriptorProto" {
        name "name" "name" explicit;
        options "options" "options";
    }
    EnumDescriptorProto, "google.protobuf.EnumDescriptorProto" {
        name "name" "name" explicit;
        value "value" "value";
        options "options" "options";
        reserved_range "reserved_range" "reservedRange";
        reserved_name "reserved_name" "reservedName";
    }
    enum_descriptor_proto::EnumReservedRange, "google.protobuf.EnumDescriptorProto.EnumReservedRange" {
        start "start" "start" explicit;
        end "end" "end" explicit;
    }
    EnumValueDescriptorProto, "google.protobuf.EnumValueDescriptorProto" {
        name "name" "name" explicit;
        number "number" "number" explicit;
        options "options" "options";
    }
    ServiceDescriptorProto, "google.protobuf.ServiceDescriptorProto" {
        name "name" "name" explicit;
        method "method" "method";
        options "options" "options";
    }
    MethodDescriptorProto, "google.protobuf.MethodDescriptorProto" {
        name "name" "name" explicit;
        input_type "input_type" "inputType" explicit;
        output_type "output_type" "outputType" explicit;
        options "options" "options";
        client_streaming "client_streaming" "clientStreaming" explicit;
        server_streaming "server_streaming" "serverStreaming" explicit;
    }
    FileOptions, "google.protobuf.FileOptions" {
        java_package "java_package" "javaPackage" explicit;
        java_outer_classname "java_outer_classname" "javaOuterClassname" explicit;
        java_multiple_files "java_multiple_files" "javaMultipleFiles" explicit;
        java_generate_equals_and_hash "java_generate_equals_and_hash" "javaGenerateEqualsAndHash" explicit;
        java_string_check_utf8 "java_string_check_utf8" "javaStringCheckUtf8" explicit;
        optimize_for "optimize_for" "optimizeFor" explicit: file_options::OptimizeMode;
        go_package "go_package" "goPackage" explicit;
        cc_generic_services "cc_generic_services" "ccGenericServices" explicit;
        java_generic_services "java_generic_services" "javaGenericServices" explicit;
        py_generic_services "py_generic_services" "pyGenericServices" explicit;
        php_generic_services "php_generic_services" "phpGenericServices" explicit;
        deprecated "deprecated" "deprecated" explicit;
        cc_enable_arenas "cc_enable_arenas" "ccEnableArenas" explicit;
        objc_class_prefix "objc_class_prefix" "objcClassPrefix" explicit;
        csharp_namespace "csharp_namespace" "csharpNamespace" explicit;
        swift_prefix "swift_prefix" "swiftPrefix" explicit;
        php_class_prefix "php_class_prefix" "phpClassPrefix" explicit;
        php_namespace "php_namespace" "phpNamespace" explicit;
        php_metadata_namespace "php_metadata_namespace" "phpMetadataNamespace" explicit;
        ruby_package "ruby_package" "rubyPackage" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    MessageOptions, "google.protobuf.MessageOptions" {
        message_set_wire_format "message_set_wire_format" "messageSetWireFormat" explicit;
        no_standard_descriptor_accessor "no_standard_descriptor_accessor" "noStandardDescriptorAccessor" explicit;
        deprecated "deprecated" "deprecated" explicit;
        map_entry "map_entry" "mapEntry" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    FieldOptions, "google.protobuf.FieldOptions" {
        ctype "ctype" "ctype" explicit: field_options::CType;
        packed "packed" "packed" explicit;
        jstype "jstype" "jstype" explicit: field_options::JsType;
        lazy "lazy" "lazy" explicit;
        deprecated "deprecated" "deprecated" explicit;
        weak "weak" "weak" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    OneofOptions, "google.protobuf.OneofOptions" {
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    EnumOptions, "google.protobuf.EnumOptions" {
        allow_alias "allow_alias" "allowAlias" explicit;
        deprecated "deprecated" "deprecated" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    EnumValueOptions, "google.protobuf.EnumValueOptions" {
        deprecated "deprecated" "deprecated" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    ServiceOptions, "google.protobuf.ServiceOptions" {
        deprecated "deprecated" "deprecated" explicit;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    MethodOptions, "google.protobuf.MethodOptions" {
        deprecated "deprecated" "deprecated" explicit;
        idempotency_level "idempotency_level" "idempotencyLevel" explicit: method_options::IdempotencyLevel;
        uninterpreted_option "uninterpreted_option" "uninterpretedOption";
    }
    UninterpretedOption, "google.protobuf.UninterpretedOption" {
        name "name" "name";
        identifier_value "identifier_value" "identifierValue" explicit;
        positive_int_value "positive_int_value" "positiveIntValue" explicit;
        negative_int_value "negative_int_value" "negativeIntValue" explicit;
        double_value "double_value" "doubleValue" explicit;
        string_value "string_value" "stringValue" explicit;
        aggregate_value "aggregate_value" "aggregateValue" explicit;
    }
    uninterpreted_option::NamePart, "google.protobuf.UninterpretedOption.NamePart" {
        name_part "name_part" "namePart" explicit;
        is_extension "is_extension" "isExtension" explicit;
    }
    SourceCodeInfo, "google.protobuf.SourceCodeInfo" {
        location "location" "location";
    }
    source_code_info::Location, "google.protobuf.SourceCodeInfo.Location" {
        path "path" "path";
        span "span" "span";
        leading_comments "leading_comments" "leadingComments" explicit;
        trailing_comments "trailing_comments" "trailingComments" explicit;
        leading_detached_comments "leading_detached_comments" "leadingDetachedComments";
    }
    GeneratedCodeInfo, "google.protobuf.GeneratedCodeInfo" {
        annotation "annotation" "annotation";
    }
    generated_code_info::Annotation, "google.protobuf.GeneratedCodeInfo.Annotation" {
        path "path" "path";
        source_file "source_file" "sourceFile" explicit;
        begin "begin" "begin" explicit;
        end "end" "end" explicit;
    }
    compiler::Version, "google.protobuf.compiler.Version" {
        major "major" "major" explicit;
        minor "minor" "minor" explicit;
        patch "patch" "patch" explicit;
        suffix "suffix" "suffix" explicit;
    }
    compiler::CodeGeneratorRequest, "google.protobuf.compiler.CodeGeneratorRequest" {
        file_to_generate "file_to_generate" "fileToGenerate";
        parameter "parameter" "parameter" explicit;
        proto_file "proto_file" "protoFile";
        compiler_version "compiler_version" "compilerVersion";
    }
    compiler::CodeGeneratorResponse, "google.protobuf.compiler.CodeGeneratorResponse" {
        error "error" "error" explicit;
        supported_features "supported_features" "supportedFeatures" explicit;
        file "file" "file";
    }
    compiler::code_generator_response::File, "google.protobuf.compiler.CodeGeneratorResponse.File" {
        name "name" "name" explicit;
        insertion_point "insertion_point" "insertionPoint" explicit;
        content "content" "content" explicit;
        generated_code_info "generated_code_info" "generatedCodeInfo";
    }
}
