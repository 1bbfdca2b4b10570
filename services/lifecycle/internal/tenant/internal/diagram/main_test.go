package main

import (
	"os"
	"testing"

	"tenure/services/lifecycle/internal/tenant"
)

func TestPageIsCurrent(t *testing.T) {
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page(tenant.Transitions()) {
		t.Error("docs/state-machine.md is not what the table says; run go generate ./... in services")
	}
}
