// Package commandline runs a command line that kong describes, alike for both
// programs: errors and exit codes are those of internal/cli.
package commandline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/briskest/briskest/internal/cli"
)

// Streams are where a command reads and prints. Commands take them as the
// second argument of Run, after the context.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Printf prints to the standard output.
func (s Streams) Printf(format string, args ...any) {
	fmt.Fprintf(s.Out, format, args...)
}

// Output is the -o flag of commands that print a record or a list.
type Output struct {
	Format string `name:"output" short:"o" enum:"table,json,csv" default:"table" help:"How to print: table, json (lines for lists) or csv."`
}

// exitCodes ends every program's help.
const exitCodes = "\n\nExit codes: 0 done, 1 failed, 2 usage, 3 refused by the peer, 4 pending, 5 not found, 6 the EST server cannot be reached (briskest est)."

// Main runs a program until it ends or is told to by SIGINT or SIGTERM, reports
// its error and exits with the error's code. What the program makes is readable
// by this user only, unless it says otherwise.
func Main(program string, run func(ctx context.Context, args []string, s Streams) error) {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], Streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(cli.Report(os.Stderr, program, err))
}

// exitEarly carries kong's wish to exit after printing help.
type exitEarly int

// Run parses args into commands, a pointer to a struct of kong's, and runs the
// command they name. It returns that command's error, or a usage error.
func Run(ctx context.Context, program, about string, commands any, args []string, s Streams) (err error) {
	parser, err := kong.New(commands,
		kong.Name(program),
		kong.Description(about+exitCodes),
		kong.Writers(s.Out, s.Err),
		kong.Exit(func(code int) { panic(exitEarly(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return err
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exitEarly:
			if err = nil; p != 0 {
				err = &cli.Error{Code: int(p), Err: errors.New("stopped")}
			}
		default:
			panic(p)
		}
	}()
	parsed, err := parser.Parse(args)
	if err != nil {
		return cli.Hint(cli.Usage("%w", err), "%s --help lists the commands, %[1]s COMMAND --help its flags", program)
	}
	return parsed.Run(s)
}
