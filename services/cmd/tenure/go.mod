module tenure/services/cmd/tenure

go 1.26.0

replace tenure/schemas => ../../../schemas

replace tenure/shared => ../../../shared

replace tenure/services => ../..

replace tenure/services/devstack => ../../devstack

require (
	tenure/schemas v0.0.0
	tenure/services v0.0.0
	tenure/services/devstack v0.0.0
	tenure/shared v0.0.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
)
