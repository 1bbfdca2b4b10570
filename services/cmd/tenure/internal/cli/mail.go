package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newMail(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "mail", Short: "Show what people are sent"}
	cmd.AddCommand(newMailList(o), newMailPreview(o))
	return cmd
}

func newMailList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the mails that there are",
		Args:  cobra.NoArgs,
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			mails := []client.MailTemplate{}
			for m, err := range c.Mails(cmd.Context()) {
				if err != nil {
					return err
				}
				mails = append(mails, m)
			}
			return o.print(cmd.OutOrStdout(), mails, func() error { return printMails(cmd.OutOrStdout(), mails) })
		}),
	}
}

func printMails(out io.Writer, mails []client.MailTemplate) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TEMPLATE\tLOCALES\tSAMPLES")
	for _, m := range mails {
		fmt.Fprintf(w, "%s\t%s\t%d\n", m.Template, strings.Join(m.Locales, ","), m.Samples)
	}
	return w.Flush()
}

func newMailPreview(o *options) *cobra.Command {
	var (
		locale string
		sample int
		asHTML bool
	)
	cmd := &cobra.Command{
		Use:   "preview TEMPLATE",
		Short: "Show a mail as people get it, with made-up facts",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			mail, err := c.PreviewMail(cmd.Context(), args[0], locale, sample)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return o.print(out, mail, func() error {
				if asHTML {
					_, err := fmt.Fprint(out, mail.HTML)
					return err
				}
				_, err := fmt.Fprintf(out, "Subject: %s\n\n%s", mail.Subject, mail.Text)
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&locale, "locale", "", "such as de or de-AT (default English)")
	cmd.Flags().IntVar(&sample, "sample", 1, "which of the mail's forms")
	cmd.Flags().BoolVar(&asHTML, "html", false, "print the HTML form")
	return cmd
}
