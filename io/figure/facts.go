package figure

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"unicode/utf16"
)

// describePNG adds, after a PNG file's header, its physical resolution (chunk pHYs; PNG specification, 11.3.4.3) and
// facts as the text "Description" (iTXt, 11.3.3.4).
func describePNG(file []byte, facts string) []byte {
	const header = 8 + 25                            // signature and IHDR
	const perMetre = (dotsPerInch*10000 + 127) / 254 // rounded
	resolution := binary.BigEndian.AppendUint32(nil, perMetre)
	resolution = binary.BigEndian.AppendUint32(resolution, perMetre)
	resolution = append(resolution, 1) // the unit is the metre
	chunks := pngChunk("pHYs", resolution)
	if facts != "" {
		// Keyword, then: not compressed, no method, no language, no translated keyword.
		chunks = append(chunks, pngChunk("iTXt", []byte("Description\x00\x00\x00\x00\x00"+facts))...)
	}
	return slices.Concat(file[:header], chunks, file[header:])
}

func pngChunk(kind string, data []byte) []byte {
	chunk := append([]byte(kind), data...)
	size := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return binary.BigEndian.AppendUint32(append(size, chunk...), crc32.ChecksumIEEE(chunk))
}

// describeSVG adds facts as the picture's <desc>, and names the type of images rightly, which gonum/plot calls JPEG.
func describeSVG(file []byte, facts string) []byte {
	file = bytes.ReplaceAll(file, []byte("data:image/jpg;"), []byte("data:image/png;"))
	if facts == "" {
		return file
	}
	start := bytes.Index(file, []byte("<svg"))
	end := start + bytes.IndexByte(file[start:], '>') + 1
	var desc bytes.Buffer
	desc.WriteString("\n<desc>")
	_ = xml.EscapeText(&desc, []byte(facts)) // a Buffer's writes do not fail
	desc.WriteString("</desc>")
	return slices.Concat(file[:end], desc.Bytes(), file[end:])
}

var (
	pdfTrailer = regexp.MustCompile(`trailer\s*<<\s*(/Size \d+)\s*(/Root \d+ 0 R)\s*/Info (\d+) 0 R`)
	pdfStart   = regexp.MustCompile(`startxref\s*(\d+)\s*%%EOF`)
)

// describePDF adds facts as the document's subject, by an incremental update (PDF 1.7, 7.5.6): a new information dictionary
// with the number of the old one, and a cross-reference section that names it alone.
func describePDF(file []byte, facts string) []byte {
	if facts == "" {
		return file
	}
	trailer, start := pdfTrailer.FindSubmatch(file), pdfStart.FindSubmatch(file)
	if trailer == nil || start == nil {
		panic("figure: the PDF file does not end as fpdf's do")
	}
	subject := binary.BigEndian.AppendUint16(nil, 0xfeff) // UTF-16, the high byte first
	for _, unit := range utf16.Encode([]rune(facts)) {
		subject = binary.BigEndian.AppendUint16(subject, unit)
	}
	var out bytes.Buffer
	out.Write(file)
	object := out.Len()
	fmt.Fprintf(&out, "%s 0 obj\n<< /Creator (lsrun) /Subject <%X> >>\nendobj\n", trailer[3], subject)
	table := out.Len()
	fmt.Fprintf(&out, "xref\n%s 1\n%010d 00000 n \ntrailer\n<< %s %s /Info %s 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n",
		trailer[3], object, trailer[1], trailer[2], trailer[3], start[1], table)
	return out.Bytes()
}
