# Two commands matter: `make demo` and `make test`. Both set up what they need on a fresh machine with Go.
SHELL := /bin/bash
.DEFAULT_GOAL := help


.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Start everything real and drive one tenant through its whole life (EXIT=1 ends afterwards)
	@scripts/setup
	@go run ./services/cmd/tenure demo $(if $(filter 1,$(EXIT)),--exit)

.PHONY: test
test: ## Install what is needed and run every test
	@scripts/setup test
	@scripts/test

.PHONY: lint
lint: ## Format check, vet, linters and the import rule
	@scripts/lint

.PHONY: bench
bench: ## Measure the pipeline beside what this machine can do
	@scripts/setup
	@go run ./services/cmd/tenure bench

.PHONY: bench-erase
bench-erase: ## Measure an erasure, and what other tenants notice of it, beside a plain DELETE and the drop of a partition
	@scripts/setup
	@go run ./services/cmd/tenure bench erase

.PHONY: bench-export
bench-export: ## Measure exports beside COPY and pg_dump (GB=10 for more data)
	@scripts/setup
	@go run ./services/cmd/tenure bench export --gb $(or $(GB),1)

.PHONY: generate
generate: ## Write again what is generated: schemas and diagrams
	@for m in schemas shared services services/devstack services/cmd/tenure; do (cd $$m && go generate ./...) || exit 1; done
