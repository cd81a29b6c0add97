// Package record has its manual in doc.go.
package record
