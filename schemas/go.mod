module tenure/schemas

go 1.26.0
