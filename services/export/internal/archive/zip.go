package archive

import (
	"archive/zip"
	"encoding/binary"
	"math"
	"time"
)

// The zip format, as PKWARE's APPNOTE.TXT 6.3.10 has it. archive/zip writes the content of an archive and its directory
// in one stream; here several lanes write entries at the same time, and only in the end is it known where in the
// archive each of them stands. So the entries' headers and the directory are written apart. What archive/zip makes of
// the same entries is the same but for the order.
const (
	localSignature       = 0x04034b50
	descriptorSignature  = 0x08074b50
	directorySignature   = 0x02014b50
	directory64Signature = 0x06064b50
	locator64Signature   = 0x07064b50
	endSignature         = 0x06054b50

	version20 = 20
	version45 = 45 // zip64
	madeOn    = 3 << 8
	fileMode  = 0o100644 << 16

	// sizesFollow says that a descriptor behind the content has what the header in front of it cannot know yet.
	sizesFollow = 1 << 3

	extraZip64 = 0x0001
	extraTime  = 0x5455

	directory64Length = 56
)

// Entry is a file of an archive as the directory lists it.
type Entry struct {
	Name   string `json:"name"`
	Method uint16 `json:"method"`
	CRC32  uint32 `json:"crc32"`
	// Size is what comes out on unpacking, Packed what stands in the archive, both in bytes.
	Size   int64 `json:"size"`
	Packed int64 `json:"packed"`
	// Offset is where the entry begins: in its lane, until the archive is put together.
	Offset int64 `json:"offset"`
}

// Compressed methods, and those that are as they are.
const (
	stored   = zip.Store
	deflated = zip.Deflate
)

func (e Entry) large() bool { return e.Size >= math.MaxUint32 || e.Packed >= math.MaxUint32 }

// little builds what goes into an archive.
type little struct{ b []byte }

func (l *little) u16(values ...uint16) {
	for _, v := range values {
		l.b = binary.LittleEndian.AppendUint16(l.b, v)
	}
}

func (l *little) u32(values ...uint32) {
	for _, v := range values {
		l.b = binary.LittleEndian.AppendUint32(l.b, v)
	}
}

func (l *little) u64(values ...uint64) {
	for _, v := range values {
		l.b = binary.LittleEndian.AppendUint64(l.b, v)
	}
}

// modified is a time as headers have it: in the format's own way, which has no zone and no odd seconds, and behind it exactly.
type modified struct {
	date, clock uint16
	unix        uint32
}

func newModified(t time.Time) modified {
	t = t.UTC()
	return modified{
		date:  uint16(max(t.Year()-1980, 0)<<9 | int(t.Month())<<5 | t.Day()),
		clock: uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2),
		unix:  uint32(t.Unix()),
	}
}

func (l *little) timeExtra(m modified) {
	const length, modificationTime = 5, 1
	l.u16(extraTime, length)
	l.b = append(l.b, modificationTime)
	l.u32(m.unix)
}

const timeExtraLength = 9

// localHeader stands in front of an entry.
func localHeader(name string, method uint16, at modified) []byte {
	var l little
	l.u32(localSignature)
	l.u16(version20, sizesFollow, method, at.clock, at.date)
	l.u32(0, 0, 0) // the descriptor has them
	l.u16(uint16(len(name)), timeExtraLength)
	l.b = append(l.b, name...)
	l.timeExtra(at)
	return l.b
}

// descriptor stands behind an entry. Its sizes are long only where they have to be, as with archive/zip: older readers
// of streams know no others.
func descriptor(e Entry) []byte {
	var l little
	l.u32(descriptorSignature, e.CRC32)
	if e.large() {
		l.u64(uint64(e.Packed), uint64(e.Size))
	} else {
		l.u32(uint32(e.Packed), uint32(e.Size))
	}
	return l.b
}

// Directory is the end of an archive: the list of its entries, whose offsets are those in the archive. start is where in
// the archive it stands itself.
func Directory(entries []Entry, at time.Time, start int64) []byte {
	var l little
	m := newModified(at)
	for _, e := range entries {
		l.listed(e, m)
	}
	l.end(int64(len(entries)), start)
	return l.b
}

func (l *little) listed(e Entry, m modified) {
	long := e.large() || e.Offset >= math.MaxUint32
	var extra little
	extra.timeExtra(m)
	version, packed, size, offset := uint16(version20), uint32(e.Packed), uint32(e.Size), uint32(e.Offset)
	if long {
		version, packed, size, offset = version45, math.MaxUint32, math.MaxUint32, math.MaxUint32
		extra.u16(extraZip64, 3*8)
		extra.u64(uint64(e.Size), uint64(e.Packed), uint64(e.Offset))
	}
	l.u32(directorySignature)
	l.u16(madeOn|version, version, sizesFollow, e.Method, m.clock, m.date)
	l.u32(e.CRC32, packed, size)
	l.u16(uint16(len(e.Name)), uint16(len(extra.b)), 0, 0, 0) // no comment, the only disk, no attributes of its content
	l.u32(fileMode, offset)
	l.b = append(append(l.b, e.Name...), extra.b...)
}

// end closes the directory; the numbers that a plain one has no room for stand in the longer one before it.
func (l *little) end(entries, start int64) {
	size := int64(len(l.b))
	if entries >= math.MaxUint16 || size >= math.MaxUint32 || start >= math.MaxUint32 {
		l.u32(directory64Signature)
		l.u64(directory64Length - 12) // all but the signature and this length
		l.u16(madeOn|version45, version45)
		l.u32(0, 0) // the only disk
		l.u64(uint64(entries), uint64(entries), uint64(size), uint64(start))
		l.u32(locator64Signature, 0)
		l.u64(uint64(start + size))
		l.u32(1)
		entries, size, start = math.MaxUint16, math.MaxUint32, math.MaxUint32
	}
	l.u32(endSignature)
	l.u16(0, 0, uint16(entries), uint16(entries))
	l.u32(uint32(size), uint32(start))
	l.u16(0) // no comment
}
