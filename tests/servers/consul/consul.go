//go:build tools

// Package consul names the version of Consul that the live tests run against.
package consul

import _ "github.com/hashicorp/consul"
