package export

// GCPercent is for a process that runs this service alone: see debug.SetGCPercent. Nearly all that such a one holds are the
// buffers that parts of archives are made in, which live as long as an export. They are no reason to let as much
// garbage pile up beside them, of which there is so little that a collection in a GB of rows is enough.
const GCPercent = 50
