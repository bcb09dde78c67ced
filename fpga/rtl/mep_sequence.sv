// The order of a pass, one operation a cycle. A matrix pass (MAC, UPDATE) goes over couplings upward: rows, and in each
// row the words of P weights. A word pass (RELAX, FILL, BIAS) goes over own layers downward. A pass that starts in the
// cycle of the last one's end follows it without a gap.
module mep_sequence #(
`include "mep_config.svh"
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          start,
    input  logic [2:0]    start_kind,
    input  logic [TW-1:0] start_from,
    input  logic [TW-1:0] start_to,
    input  logic [AW-1:0] start_address,
    output logic [2:0]    kind,        // NONE while there is nothing to do
    output logic [TW-1:0] layer,       // of the word; row and its word are in layer + 1
    output logic [NW-1:0] word,
    output logic [NW-1:0] row_word,
    output logic [LW-1:0] row_lane,
    output logic          first_row,
    output logic          first_word,
    output logic          last_word,
    output logic [AW-1:0] address,     // of the word of weights
    output logic          pass_ends    // with this operation
);
    logic [TW-1:0] to;
    logic [RW-1:0] row;
    wire matrix = kind == MAC || kind == UPDATE;
    wire [31:0] words = WORDS[32*layer+:32];
    wire [31:0] rows = UNITS[32*(32'(layer)+1)+:32];
    wire last_row = !matrix || 32'(row) + 32'd1 == rows;
    wire layer_ends = last_word && last_row;
    assign first_row = row == '0;
    assign first_word = word == '0;
    assign last_word = 32'(word) + 32'd1 == words;
    assign pass_ends = kind != NONE && layer_ends && layer == to;
    always_ff @(posedge clk) begin
        if (kind != NONE) begin
            word <= last_word ? '0 : word + NW'(1);
            if (matrix) address <= address + AW'(1);
            if (last_word) begin
                row <= row + RW'(1);
                row_lane <= row_lane == LW'(P - 1) ? '0 : row_lane + LW'(1);
                if (row_lane == LW'(P - 1)) row_word <= row_word + NW'(1);
            end
            if (layer_ends) begin
                layer <= matrix ? layer + TW'(1) : layer - TW'(1);
                {row, row_lane, row_word} <= '0;
            end
            if (pass_ends) kind <= NONE;
        end
        if (start) begin
            kind <= start_kind;
            layer <= start_from;
            to <= start_to;
            address <= start_address;
            {row, row_lane, row_word, word} <= '0;
        end
        if (rst) kind <= NONE;
    end
endmodule
