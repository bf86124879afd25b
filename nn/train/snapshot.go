package train

import (
	"fmt"
	"strconv"
	"strings"

	"lsrun/nn"
)

// The keys of a state's texts. PyTorch users know the first two.
const (
	epochKey    = "epoch" // finished epochs
	accuracyKey = "acc"   // on the test set, percent
	stepKey     = "lsrun.step"
	lossKey     = "lsrun.loss"
	correctKey  = "lsrun.correct"
	historyKey  = "lsrun.history"
)

// Texts are all of s but the tensors. Restore reads them.
func (s *State) Texts() map[string]string {
	texts := map[string]string{
		epochKey:   strconv.Itoa(s.Epoch),
		stepKey:    strconv.Itoa(s.Step),
		lossKey:    strconv.FormatFloat(s.Loss, 'g', -1, 64),
		correctKey: strconv.Itoa(s.Correct),
		historyKey: Table(s.History),
	}
	// Readers of other people's checkpoints take an accuracy up to 1 for a fraction.
	if n := len(s.History); s.Step == 0 && n > 0 && s.History[n-1].TestAcc > 1 {
		texts[accuracyKey] = strconv.FormatFloat(s.History[n-1].TestAcc, 'g', -1, 64)
	}
	return texts
}

// Restore is the State of which these are States, Buffers and Texts. The tensors become the state's own.
func Restore(states, buffers nn.Params, texts map[string]string) (*State, error) {
	s := &State{States: states, Buffers: buffers}
	var err error
	number := func(key string) (n int) {
		if err == nil {
			if n, err = strconv.Atoi(texts[key]); err != nil {
				err = fmt.Errorf("its text %s: %w", key, err)
			}
		}
		return n
	}
	s.Epoch, s.Step, s.Correct = number(epochKey), number(stepKey), number(correctKey)
	if err != nil {
		return nil, err
	}
	if s.Loss, err = strconv.ParseFloat(texts[lossKey], 64); err != nil {
		return nil, fmt.Errorf("its text %s: %w", lossKey, err)
	}
	if s.History, err = History(texts); err != nil {
		return nil, err
	}
	if s.Step < 0 || s.Epoch != len(s.History)-1 {
		return nil, fmt.Errorf("it is in step %d after epoch %d, but tells of %d epochs", s.Step, s.Epoch, len(s.History))
	}
	return s, nil
}

// History is the history in a state's Texts.
func History(texts map[string]string) ([]Summary, error) {
	history, err := parseTable(texts[historyKey])
	if err != nil {
		return nil, fmt.Errorf("its text %s: %w", historyKey, err)
	}
	return history, nil
}

const tableHead = "epoch,lr,train_loss,train_acc,test_loss,test_acc\n"

// Table writes a history as CSV, without a loss of digits.
func Table(history []Summary) string {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, e := range history {
		b.WriteString(strconv.Itoa(e.Epoch))
		for _, v := range e.numbers() {
			b.WriteString("," + strconv.FormatFloat(*v, 'g', -1, 64))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (e *Summary) numbers() []*float64 {
	return []*float64{&e.Rate, &e.TrainLoss, &e.TrainAcc, &e.TestLoss, &e.TestAcc}
}

func parseTable(text string) ([]Summary, error) {
	rest, ok := strings.CutPrefix(text, tableHead)
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q", tableHead)
	}
	var history []Summary
	for line := range strings.Lines(rest) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		e := Summary{Epoch: len(history)}
		numbers := e.numbers()
		if len(words) != 1+len(numbers) || words[0] != strconv.Itoa(e.Epoch) {
			return nil, fmt.Errorf("line %q is not epoch %d", line, e.Epoch)
		}
		for i, v := range numbers {
			var err error
			if *v, err = strconv.ParseFloat(words[1+i], 64); err != nil {
				return nil, err
			}
		}
		history = append(history, e)
	}
	return history, nil
}
